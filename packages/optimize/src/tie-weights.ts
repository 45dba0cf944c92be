import {
  chunksOf,
  definePass,
  edit,
  type GraphView,
  PASS_API_VERSION,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { inFunction } from "@pare/ops/weights";
import { Digest } from "./digest.ts";

/**
 * Stores weights with equal contents once, where the graphs that read them all see it. Large ones are read only when
 * another has the same type and size, and are compared byte for byte.
 */
export const tieWeights = definePass({
  name: "tie-weights",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  async run(model, _, ctx) {
    const alike = new Map<string, Weight[]>();
    for (const w of weightsOf(viewOf(model)))
      if (isOwn(w)) add(alike, `${w.tensor.dtype}[${w.tensor.shape}]${w.tensor.byteLength}`, w);
    const groups: Weight[][] = [];
    for (const list of alike.values()) if (list.length > 1) groups.push(...(await equalAmong(list, ctx.signal)));
    return edit(model, (e) => {
      for (const group of groups) {
        const home = group.map((w) => w.view).reduce(common);
        const kept = group.find((w) => w.view === home);
        const name = kept?.name ?? e.addWeight(home, e.fresh(group[0]!.name), group[0]!.tensor);
        for (const w of group) {
          if (w === kept) continue;
          for (const use of w.uses) e.setInput(use, name);
          e.removeWeight(w.view, w.name);
          ctx.done(w, { same: name });
        }
      }
    });
  },
});

/** A weight that only its graph can give a value, and that is no output. */
const isOwn = ({ view, name, node }: Weight): boolean =>
  !node && !inFunction(view) && !view.isOutput(name) && !view.graph.inputs.some((v) => v.name === name);

/** The innermost graph that both are in. */
function common(a: GraphView, b: GraphView): GraphView {
  const around = new Set<GraphView>();
  for (let v: GraphView | undefined = a; v; v = v.parent) around.add(v);
  let v = b;
  while (!around.has(v)) v = v.parent!;
  return v;
}

/** Groups of weights of one type and size that have equal bytes. */
async function equalAmong(list: readonly Weight[], signal: AbortSignal): Promise<Weight[][]> {
  const byContent = new Map<string, Weight[]>();
  for (const w of list) add(byContent, await fingerprint(w, signal), w);
  const groups: Weight[][] = [];
  for (const candidates of byContent.values()) {
    let rest = candidates;
    while (rest.length > 1) {
      const [first, ...others] = rest;
      const group = [first!];
      rest = [];
      for (const w of others) ((await isEqual(first!, w, signal)) ? group : rest).push(w);
      if (group.length > 1) groups.push(group);
    }
  }
  return groups;
}

async function fingerprint({ tensor }: Weight, signal: AbortSignal): Promise<string> {
  const digest = new Digest();
  for await (const chunk of chunksOf(tensor, signal)) digest.add(chunk);
  return digest.toString();
}

async function isEqual(a: Weight, b: Weight, signal: AbortSignal): Promise<boolean> {
  if (a.tensor === b.tensor || (a.tensor.key && a.tensor.key === b.tensor.key)) return true;
  const other = chunksOf(b.tensor, signal);
  for await (const chunk of chunksOf(a.tensor, signal)) {
    const { value } = await other.next();
    if (!value || chunk.some((byte, i) => byte !== value[i])) return false;
  }
  return true;
}

function add<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
