import { attribute, constantNodeValue, type Dim, type Graph, intsAttribute, type Node } from "@pare/core";
import { axisOf, type Call, type Fact, factOf, int, join, same, typeOfFact } from "./rule.ts";
import { constantValues } from "./values.ts";

/** Infers a graph inside a node, with what is known of its inputs; gives what is known of its outputs. */
export type Enter = (g: Graph, inputs: readonly (Fact | undefined)[]) => readonly (Fact | undefined)[];
type ControlRule = (call: Call, enter: Enter) => readonly (Fact | undefined)[];

const scalar = (dtype: "int64" | "bool"): Fact => ({ dtype, shape: [] });
const typeOnly = (f: Fact | undefined): Fact | undefined => f && { dtype: f.dtype, shape: f.shape, other: f.other };

/** The operators that hold graphs. */
export const controlRules: ReadonlyMap<string, ControlRule> = new Map<string, ControlRule>([
  [
    "If",
    (c, enter) => {
      const branches = ["then_branch", "else_branch"].map((name) => attribute(c.node, name, "graph"));
      const [whenTrue, whenFalse] = branches.map((g) => g && enter(g, []));
      const condition = c.inputs[0]?.values?.[0];
      if (typeof condition === "number") return (condition === 0 ? whenFalse : whenTrue) ?? [];
      return c.node.outputs.map((_, i) => join(whenTrue?.[i], whenFalse?.[i]));
    },
  ],
  ["Loop", loop],
  ["Scan", scan],
  [
    "SequenceMap",
    (c, enter) => {
      const body = attribute(c.node, "body", "graph");
      const elements = c.inputs.map((f) => {
        const type = typeOfFact(f);
        return type?.kind === "sequence" ? factOf(type.element) : typeOnly(f);
      });
      return (body ? enter(body, elements) : []).map((f): Fact => {
        const element = typeOfFact(f);
        return { other: { kind: "sequence", ...(element && { element }) } };
      });
    },
  ],
]);

/** Repeats the body until what is known of the carried values holds for every turn. */
function settle(
  initial: readonly (Fact | undefined)[],
  turn: (carried: readonly (Fact | undefined)[]) => readonly (Fact | undefined)[],
) {
  let carried = initial.map(typeOnly);
  for (let i = 0; i < 6; i++) {
    const after = turn(carried);
    // Ranks that keep changing end as unknown ones.
    const next = carried.map((f, k) => typeOnly(i < 4 ? join(f, after[k]) : { dtype: join(f, after[k])?.dtype }));
    const settled = next.every((f, k) => JSON.stringify(f) === JSON.stringify(carried[k]));
    carried = next;
    if (settled) return { carried, after };
  }
  return { carried, after: turn(carried) };
}

function loop(c: Call, enter: Enter): readonly (Fact | undefined)[] {
  const body = attribute(c.node, "body", "graph");
  if (!body) return [];
  const [trips, condition, ...initial] = c.inputs;
  const { carried, after } = settle(initial, (state) =>
    enter(body, [scalar("int64"), scalar("bool"), ...state]).slice(1),
  );
  const limit = trips?.values?.[0];
  const endless = (!c.node.inputs[1] || condition?.values?.[0] === 1) && goesOn(body);
  const count: Dim = endless && limit !== undefined && (typeof limit === "string" || (limit ?? -1) >= 0) ? limit : null;
  const stacked = after
    .slice(initial.length)
    .map((f): Fact | undefined => f && { dtype: f.dtype, shape: f.shape && [count, ...f.shape] });
  return [...carried, ...stacked];
}

/** Whether the body's condition is always true. */
function goesOn(body: Graph): boolean {
  let name = body.outputs[0]?.name;
  for (let i = 0; i < 16 && name !== undefined; i++) {
    if (name === body.inputs[1]?.name) return true;
    const held = body.weights.get(name);
    const maker: Node | undefined = body.nodes.find((n) => n.outputs.includes(name!));
    const constant = held ?? (maker && constantNodeValue(maker));
    if (constant) return constantValues(constant)?.[0] === 1;
    name = maker?.op === "Identity" && maker.domain === "" ? maker.inputs[0] : undefined;
  }
  return false;
}

/** What is known of two values of one type and shape. */
const alike = (a: Fact | undefined, b: Fact | undefined): Fact | undefined =>
  a?.shape && b?.shape?.length === a.shape.length
    ? { dtype: a.dtype ?? b.dtype, shape: a.shape.map((d, i) => same(d, b.shape![i]!)) }
    : typeOnly(a?.shape ? a : (b ?? a));

function scan(c: Call, enter: Enter): readonly (Fact | undefined)[] {
  const body = attribute(c.node, "body", "graph");
  const slices = int(c, "num_scan_inputs", 1);
  const states = c.inputs.length - slices;
  if (!body || states < 0) return [];
  const axes = intsAttribute(c.node, "scan_input_axes");
  let length: Dim = null;
  const parts = c.inputs.slice(states).map((f, i): Fact | undefined => {
    const axis = f?.shape && axisOf(axes?.[i] ?? 0, f.shape.length);
    if (axis === undefined) return f && { dtype: f.dtype };
    const dim = f!.shape![axis]!;
    if (length === null || typeof dim === "number") length = dim;
    return { dtype: f!.dtype, shape: f!.shape!.filter((_, k) => k !== axis) };
  });
  // A state has one shape in all turns; that of Loop may change.
  const after = enter(body, [...c.inputs.slice(0, states).map(typeOnly), ...parts]);
  const carried = c.inputs.slice(0, states).map((f, i) => alike(f, after[i]));
  const outAxes = intsAttribute(c.node, "scan_output_axes");
  const stacked = after.slice(states).map((f, i): Fact | undefined => {
    const axis = f?.shape && axisOf(outAxes?.[i] ?? 0, f.shape.length + 1);
    if (axis === undefined) return f && { dtype: f.dtype };
    return { dtype: f!.dtype, shape: [...f!.shape!.slice(0, axis), length, ...f!.shape!.slice(axis)] };
  });
  return [...carried, ...stacked];
}
