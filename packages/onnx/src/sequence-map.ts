import {
  attr,
  type DType,
  type Edit,
  edit,
  type Graph,
  type GraphView,
  type Model,
  type Node,
  node,
  subgraphsOf,
  tensor,
  value,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";
import { inferTypes, type Types } from "@pare/ops/infer";
import { nodeContext } from "@pare/ops/lower";
import { fail } from "./codes.ts";

/**
 * Says SequenceMap, which came with 17, as a Loop that collects what the body gives for each element. Those inside others
 * come first.
 * @throws PareError `onnx/opset-too-low`
 */
export function unrollSequenceMaps(model: Model, target: number): Model {
  const isMap = (n: Node) => n.domain === "" && n.op === "SequenceMap";
  const holdsMap = (g: Graph): boolean =>
    g.nodes.some((n) => isMap(n) || Array.from(subgraphsOf(n)).some((s) => holdsMap(s.graph)));
  for (let now = model; ; ) {
    let types: Types | undefined;
    const next = edit(now, (e) => {
      for (const view of e.view.graphs)
        for (const n of view.graph.nodes)
          if (isMap(n) && !Array.from(subgraphsOf(n)).some((s) => holdsMap(s.graph)))
            unroll(e, view, n, (types ??= inferTypes(now)), target);
    });
    if (next === now) return now;
    now = next;
  }
}

function unroll(e: Edit, view: GraphView, n: Node, types: Types, target: number): void {
  const before: Node[] = [];
  const ctx = nodeContext(e, view, n, before);
  const body = n.attributes.get("body");
  const fresh = (what: string) => ctx.fresh(`${ctx.location.node}_${what}`);
  const refuse: () => never = () => {
    throw fail(
      "onnx/opset-too-low",
      `opset ${target} has no SequenceMap, and the types of what it gives are not known`,
      {
        location: ctx.location,
        hint: "Write opset 17 or a newer one.",
      },
    );
  };
  if (body?.type !== "graph") refuse();
  const elements = n.outputs.map((v, i): DType => {
    const type = types.of(view, v);
    const inner = type?.kind === "sequence" ? type.element : body.value.outputs[i]?.type;
    return inner?.kind === "tensor" ? inner.dtype : refuse();
  });
  const g = body.value;
  const [turn, goesOn, stillGoesOn] = [fresh("turn"), fresh("condition"), fresh("condition")];
  const taken = g.inputs.map((v, i) => {
    const from = n.inputs[i] ?? "";
    const isList = i === 0 || types.of(view, from)?.kind === "sequence";
    return node(isList ? "SequenceAt" : "Identity", isList ? [from, turn] : [from], [v.name]);
  });
  const carried = n.outputs.map(() => fresh("done"));
  const grown = n.outputs.map(() => fresh("done"));
  const nodes = [
    ...taken,
    ...g.nodes,
    ...grown.map((v, i) => node("SequenceInsert", [carried[i]!, g.outputs[i]!.name], [v])),
    node("Identity", [goesOn], [stillGoesOn]),
  ];
  const lists = (names: readonly string[]) =>
    names.map((name, i) => ({
      name,
      type: { kind: "sequence" as const, element: { kind: "tensor" as const, dtype: elements[i]! } },
    }));
  const loop: Graph = {
    ...g,
    nodes,
    inputs: [value(turn, "int64", []), value(goesOn, "bool", []), ...lists(carried)],
    outputs: [value(stillGoesOn, "bool", []), ...lists(grown)],
  };
  const count = fresh("count");
  const yes = ctx.constant(fresh("yes"), tensor("bool", [], [1]));
  const empty = elements.map((dtype) => ({ name: fresh("none"), dtype: codeOf(dtype) }));
  e.replace(n, [
    ...before,
    node("SequenceLength", [n.inputs[0]!], [count]),
    ...empty.map(({ name, dtype }) => node("SequenceEmpty", [], [name], { dtype: attr.int(dtype) })),
    node("Loop", [count, yes, ...empty.map((v) => v.name)], n.outputs, { body: attr.graph(loop) }),
  ]);
}
