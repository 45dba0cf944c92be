import { failure, type Graph, intAttribute, intsAttribute, type Node } from "@pare/core";
import { type Nd, nd, newData, slice, stack, wholeAxis } from "./array.ts";
import type { Budget } from "./budget.ts";
import { cast } from "./cast.ts";
import type { RunGraph } from "./run.ts";
import { arrayIn, type Value } from "./value.ts";

/** One scan result of one run of a body, kept until all are there. */
function held(part: Value | undefined, budget: Budget): Nd {
  const array = arrayIn(part);
  budget.hold(array);
  return array;
}

/** Scan results of a body: stacked, or, where it never ran, of no elements and the shape that the body declares. */
function collected(parts: readonly Nd[], axis: number, body: Graph, output: number, budget: Budget): Nd {
  for (const part of parts) budget.release(part);
  if (parts.length > 0) return stack(parts, axis);
  const type = body.outputs[output]?.type;
  if (type?.kind !== "tensor") throw failure("ops/empty", "a loop that never ran has results of no known type");
  const shape = (type.shape ?? []).map((d) => (typeof d === "number" ? d : 0));
  const at = wholeAxis(axis, shape.length + 1);
  const whole = [...shape.slice(0, at), 0, ...shape.slice(at)];
  return { dtype: type.dtype, shape: whole, data: newData(type.dtype, whole) };
}

/** Runs a body as often as a count and a condition say. (ONNX 1.22, Loop.) */
export function loop(body: Graph, inputs: readonly (Value | undefined)[], run: RunGraph, budget: Budget): Value[] {
  const [trips, condition, ...first] = inputs;
  const limit = trips === undefined ? Number.POSITIVE_INFINITY : Number(arrayIn(trips).data[0]);
  let go = condition === undefined ? true : Boolean(arrayIn(condition).data[0]);
  let carried = first as Value[];
  const scans: Nd[][] = Array.from({ length: body.outputs.length - 1 - carried.length }, () => []);
  for (let i = 0; i < limit && go; i++) {
    const [next, ...rest] = run(body, [nd("int64", [], [i]), cast(nd("float64", [], [1]), "bool"), ...carried]);
    go = Boolean(arrayIn(next).data[0]);
    const states = carried.length;
    carried = rest.slice(0, states);
    scans.forEach((parts, k) => {
      parts.push(held(rest[states + k], budget));
    });
  }
  return [...carried, ...scans.map((parts, k) => collected(parts, 0, body, 1 + carried.length + k, budget))];
}

/** Runs a body along axes of its inputs, with state. (ONNX 1.22, Scan 9 and later.) */
export function scan(node: Node, inputs: readonly Nd[], run: RunGraph, budget: Budget): Value[] {
  const a = node.attributes.get("body");
  if (a?.type !== "graph") throw failure("ops/attribute", "Scan lacks its body");
  const body = a.value;
  const count = intAttribute(node, "num_scan_inputs", 0);
  const states = inputs.length - count;
  const sequences = inputs.slice(states);
  const list = (name: string, length: number) => intsAttribute(node, name) ?? new Array<number>(length).fill(0);
  const axes = list("scan_input_axes", count).map((axis, i) => wholeAxis(axis, sequences[i]!.shape.length));
  const backward = list("scan_input_directions", count);
  const length = sequences[0]!.shape[axes[0]!]!;
  let state: Value[] = inputs.slice(0, states);
  const scans: Nd[][] = Array.from({ length: body.outputs.length - states }, () => []);
  const directions = list("scan_output_directions", scans.length);
  for (let t = 0; t < length; t++) {
    const slices = sequences.map((x, i) => slice(x, axes[i]!, backward[i] === 1 ? length - 1 - t : t));
    const results = run(body, [...state, ...slices]);
    state = results.slice(0, states);
    scans.forEach((parts, k) => {
      const part = held(results[states + k], budget);
      if (directions[k] === 1) parts.unshift(part);
      else parts.push(part);
    });
  }
  const outAxes = list("scan_output_axes", scans.length);
  return [...state, ...scans.map((parts, k) => collected(parts, outAxes[k]!, body, states + k, budget))];
}
