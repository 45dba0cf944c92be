import { attribute, type GraphView, type Node } from "@pare/core";
import { type Context, refuse, type Sink } from "./context.ts";
import { apart, areAlike, at, chosen, fromEnd, repeated, times } from "./nested.ts";
import type { Val } from "./program.ts";
import { lowerGraph, type Surroundings } from "./program-of.ts";

/** Steps of both branches that are rather computed both, and one result taken. */
const FEW_STEPS = 4;

/** Lowers a node that holds graphs. */
export function unfold(c: Context, view: GraphView, values: ReadonlyMap<string, Val>, around: Surroundings) {
  const { node } = c;
  const body: Body = (name, given, sink) => inside(node, name, view, values, given, { ...around, sink });
  if (node.op === "If") return choose(c, body);
  if (node.op === "Loop") return loop(c, body);
  if (node.op === "Scan") return scan(c, body);
  refuse(`there is no lowering of ${node.op}`);
}

type Body = (name: string, given: readonly Val[], sink: Sink) => readonly Val[];

/** The outputs of a graph inside a node, for these inputs. */
function inside(
  n: Node,
  name: string,
  view: GraphView,
  values: ReadonlyMap<string, Val>,
  given: readonly Val[],
  around: Surroundings,
): readonly Val[] {
  const graph = attribute(n, name, "graph") ?? refuse(`it has no ${name}`);
  const child = view.children.find((v) => v.graph === graph) ?? refuse(`its ${name} is not known`);
  const own = new Map(values);
  graph.inputs.forEach((v, i) => {
    if (given[i]) own.set(v.name, given[i]);
  });
  if (!lowerGraph(child, own, around)) refuse(`its ${name} cannot be lowered`);
  return graph.outputs.map((v) => own.get(v.name) ?? refuse(`nothing computes ${v.name}`));
}

function giveAll(c: Context, values: readonly Val[]): void {
  values.forEach((v, i) => {
    c.give(i, v);
  });
}

function choose(c: Context, body: Body) {
  const known = c.numbers(c.in(0));
  if (known) return giveAll(c, body(known[0] ? "then_branch" : "else_branch", [], c.sink));
  const part = (name: string) => apart(c.sink, (sink) => body(name, [], sink));
  const [yes, no] = [part("then_branch"), part("else_branch")];
  if (!areAlike(yes.results, no.results))
    refuse("its branches give different shapes", "Make its condition a constant.");
  const condition = c.reshape(c.in(0), []);
  if (yes.steps.length + no.steps.length > FEW_STEPS) return giveAll(c, chosen(c, condition, yes, no));
  c.sink.steps.push(...yes.steps, ...no.steps);
  giveAll(
    c,
    yes.results.map((v, i) => c.select(condition, v, no.results[i]!)),
  );
}

function loop(c: Context, body: Body) {
  const count = c.maybe(0);
  const most = c.numbers(count)?.[0];
  const started = c.maybe(1) && c.numbers(c.in(1))?.[0];
  const state = c.inputs.slice(2).map((_, i) => c.in(i + 2));
  const truth = c.full("bool", [], [1]);
  const turnOf = (k: Context, number: Val, going: Val, before: readonly Val[]) => {
    const [next, ...rest] = body("body", [k.cast(number, "int64"), going, ...before], k.sink) as [Val, ...Val[]];
    return { next, state: rest.slice(0, state.length), parts: rest.slice(state.length) };
  };
  // Whether it goes on may follow from constants alone.
  const { results } = apart(c.sink, (sink) => {
    const k = c.within(sink);
    const first = most === undefined ? k.sink.fresh([], "int32") : k.scalar(0, "int32");
    const { next, parts } = turnOf(k, first, truth, state);
    return [next, ...parts];
  });
  const [goesOn, ...stacked] = results as [Val, ...Val[]];
  const isCounted = most !== undefined && (!c.maybe(1) || started === 1) && c.numbers(goesOn)?.[0] === 1;
  if (isCounted) {
    if (most === 0 && stacked.length > 0) refuse("it never runs");
    const all = times(c, most, state, (k, number, before) => turnOf(k, number, truth, before));
    return giveAll(c, [...all.state, ...all.parts]);
  }
  if (stacked.length > 0)
    refuse("how long its outputs become is known only when it runs", "Make its trip count and condition constants.");
  const condition = c.maybe(1) ? c.reshape(c.in(1), []) : truth;
  const limit = count && c.reshape(count, []);
  const [, , ...after] = repeated(c, {
    state: [c.scalar(0, "int64"), condition, ...state],
    goesOn: (k, [number, going]) =>
      limit ? k.binary("LOGICAL_AND", going!, k.binary("LESS", number!, limit, "bool")) : going!,
    body(k, [number, going, ...before]) {
      const turn = turnOf(k, number!, going!, before);
      if (!areAlike(before, turn.state)) refuse("a value that it carries changes its type");
      return [k.binary("ADD", number!, k.scalar(1, "int64")), k.reshape(turn.next, []), ...turn.state];
    },
  });
  giveAll(c, after);
}

function scan(c: Context, body: Body) {
  const count = c.int("num_scan_inputs", 0);
  const carried = c.inputs.length - count;
  const state = c.inputs.slice(0, carried).map((_, i) => c.in(i));
  const scanned = c.inputs.slice(carried).map((_, i) => c.in(carried + i));
  const axisAt = (name: string, i: number, rank: number) => {
    const axis = c.intList(name)?.[i] ?? 0;
    return axis < 0 ? axis + rank : axis;
  };
  const axes = scanned.map((v, i) => axisAt("scan_input_axes", i, v.shape.length));
  const turns = scanned[0]!.shape[axes[0]!]!;
  const all = times(c, turns, state, (k, number, before) => {
    const slices = scanned.map((v, i) =>
      at(k, v, axes[i]!, c.intList("scan_input_directions")?.[i] === 1 ? fromEnd(k, number, turns) : number),
    );
    const outputs = body("body", [...before, ...slices], k.sink);
    return { state: outputs.slice(0, carried), parts: outputs.slice(carried) };
  });
  const stacked = all.parts.map((v, i) => {
    const turned = c.intList("scan_output_directions")?.[i] === 1 ? c.reverse(v, 0) : v;
    const axis = axisAt("scan_output_axes", i, v.shape.length);
    const perm = v.shape.map((_, k) => k).slice(1);
    return c.transpose(turned, [...perm.slice(0, axis), 0, ...perm.slice(axis)]);
  });
  giveAll(c, [...all.state, ...stacked]);
}
