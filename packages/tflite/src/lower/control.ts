import { attribute, type GraphView, type Node } from "@pare/core";
import { type Context, refuse } from "./context.ts";
import type { Val } from "./program.ts";
import { lowerGraph, type Surroundings } from "./program-of.ts";

/** Most times that the body of a loop is written out. */
const MOST_TURNS = 256;

/** Lowers a node that holds graphs: both branches and a choice, or a body as often as it runs. */
export function unfold(c: Context, view: GraphView, values: ReadonlyMap<string, Val>, around: Surroundings) {
  const { node } = c;
  const body = (name: string, given: readonly Val[]) => inside(node, name, view, values, given, around);
  if (node.op === "If") return choose(c, body);
  if (node.op === "Loop") return loop(c, body);
  if (node.op === "Scan") return scan(c, body);
  refuse(`there is no lowering of ${node.op}`);
}

type Body = (name: string, given: readonly Val[]) => readonly Val[];

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

function choose(c: Context, body: Body) {
  const known = c.numbers(c.in(0));
  if (known) {
    body(known[0] ? "then_branch" : "else_branch", []).forEach((v, i) => {
      c.give(i, v);
    });
    return;
  }
  const [yes, no] = [body("then_branch", []), body("else_branch", [])];
  yes.forEach((v, i) => {
    const other = no[i]!;
    if (`${v.shape}` !== `${other.shape}` || v.dtype !== other.dtype) refuse("its branches give different shapes");
    c.give(i, c.select(c.reshape(c.in(0), []), v, other));
  });
}

function loop(c: Context, body: Body) {
  const most = c.maybe(0) ? c.numbers(c.in(0))?.[0] : undefined;
  if (most === undefined) refuse("how often it runs is known only when it runs", "Make its trip count a constant.");
  if (most! > MOST_TURNS) refuse(`it runs up to ${most} times; at most ${MOST_TURNS} are written out`);
  let going = c.maybe(1);
  const started = going && c.numbers(going);
  if (started?.[0] === 0) refuse("it never runs");
  if (started) going = undefined;
  let state = c.inputs.slice(2).map((_, i) => c.in(i + 2));
  const carried = state.length;
  const stacked: Val[][] = [];
  for (let turn = 0; turn < most!; turn++) {
    const outputs = body("body", [c.full("int64", [], [turn]), going ?? c.full("bool", [], [1]), ...state]);
    const [next, ...rest] = outputs as [Val, ...Val[]];
    const scans = rest.slice(carried);
    const before = state;
    const condition = going;
    state = rest.slice(0, carried).map((v, i) => (condition ? c.select(c.reshape(condition, []), v, before[i]!) : v));
    scans.forEach((v, i) => {
      (stacked[i] ??= []).push(v);
    });
    const known = c.numbers(next);
    if (scans.length > 0 && (going || !known)) refuse("how long its outputs become is known only when it runs");
    if (known?.[0] === 0) break;
    if (!known) {
      going = going ? c.binary("LOGICAL_AND", c.reshape(going, []), c.reshape(next, [])) : c.reshape(next, []);
    }
  }
  state.forEach((v, i) => {
    c.give(i, v);
  });
  stacked.forEach((parts, i) => {
    c.give(carried + i, joined(c, parts, 0));
  });
}

const joined = (c: Context, parts: readonly Val[], axis: number): Val =>
  c.concat(
    parts.map((v) => c.reshape(v, [...v.shape.slice(0, axis), 1, ...v.shape.slice(axis)])),
    axis,
  );

function scan(c: Context, body: Body) {
  const count = c.int("num_scan_inputs", 0);
  const carried = c.inputs.length - count;
  let state = c.inputs.slice(0, carried).map((_, i) => c.in(i));
  const scanned = c.inputs.slice(carried).map((_, i) => c.in(carried + i));
  const axisAt = (name: string, i: number, rank: number) => {
    const axis = c.intList(name)?.[i] ?? 0;
    return axis < 0 ? axis + rank : axis;
  };
  const axes = scanned.map((v, i) => axisAt("scan_input_axes", i, v.shape.length));
  const turns = scanned[0]!.shape[axes[0]!]!;
  if (turns > MOST_TURNS) refuse(`it runs ${turns} times; at most ${MOST_TURNS} are written out`);
  const stacked: Val[][] = [];
  for (let turn = 0; turn < turns; turn++) {
    const slices = scanned.map((v, i) => {
      const at = c.intList("scan_input_directions")?.[i] === 1 ? turns - 1 - turn : turn;
      return c.reshape(
        c.part(v, axes[i]!, at, 1),
        v.shape.filter((_, axis) => axis !== axes[i]),
      );
    });
    const outputs = body("body", [...state, ...slices]);
    state = outputs.slice(0, carried);
    outputs.slice(carried).forEach((v, i) => {
      (stacked[i] ??= []).push(v);
    });
  }
  state.forEach((v, i) => {
    c.give(i, v);
  });
  stacked.forEach((parts, i) => {
    const list = c.intList("scan_output_directions")?.[i] === 1 ? [...parts].reverse() : parts;
    c.give(carried + i, joined(c, list, axisAt("scan_output_axes", i, parts[0]!.shape.length + 1)));
  });
}
