import { type Edit, type Weight, weightsOf } from "@pare/core";

/** Constants of the main graph, and how many of their readers have come to read something else. */
export interface Constants {
  of(value: string): Weight | undefined;
  /** One reader less. */
  release(value: string): void;
  removeUnread(): void;
}

export function constantsOf(e: Edit): Constants {
  const { main } = e.view;
  const all = new Map<string, Weight>();
  for (const w of weightsOf(e.view)) if (w.view === main && main.constant(w.name)) all.set(w.name, w);
  const released = new Map<string, number>();
  return {
    of: (value) => all.get(value),
    release: (value) => void (all.has(value) && released.set(value, (released.get(value) ?? 0) + 1)),
    removeUnread() {
      for (const [name, n] of released) {
        const w = all.get(name)!;
        if (n < w.uses.length || main.isOutput(name)) continue;
        if (w.node) e.replace(w.node, []);
        else e.removeWeight(main, name);
      }
    },
  };
}
