import { definePass, type Extra, edit, PASS_API_VERSION } from "@pare/core";

/**
 * Drops doc strings and metadata of nodes and inner values, which no runtime reads: traces of the program that exported
 * the model can take a third of its bytes. What is said of the model and its graphs stays.
 */
export const removeNotes = definePass({
  name: "remove-notes",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const view of e.view.graphs) {
        for (const node of view.graph.nodes) {
          if (!node.extra?.["notes"]) continue;
          e.replace(node, [withoutNotes(node)]);
          ctx.done({ view, node });
        }
        for (const info of view.graph.types.values()) if (info.extra?.["notes"]) e.setType(view, withoutNotes(info));
      }
    }),
});

function withoutNotes<T extends { readonly extra?: Extra }>({ extra, ...item }: T): T {
  const { notes: _, ...rest } = extra!;
  return { ...item, ...(Object.keys(rest).length > 0 && { extra: rest }) } as T;
}
