/** Graphs inside nodes: they run with the values around them. (ONNX 1.22, If, Loop, Scan.) */
import { attribute, type Graph, intAttribute, intsAttribute, type Node, tensor } from "@pare/core";
import { compute, type Engine } from "./engine.ts";
import { type Held, made, madeHere, onDevice, release, retain } from "./held.ts";
import { part } from "./rules/axes.ts";
import { moved, refuse, wholeAxis } from "./rules/call.ts";
import type { Steps } from "./steps.ts";

/** What the graphs inside a node need of the run around them. */
export interface Inner {
  readonly engine: Engine;
  readonly alive: Set<Held>;
  /** Runs a graph on values of its inputs; what it gives is held once for the caller. */
  run(g: Graph, inputs: readonly (Held | undefined)[]): Steps<Held[]>;
  /** The elements of a value. */
  numbers(v: Held): Steps<Float64Array>;
}

const bodyOf = (n: Node, name: string): Graph => attribute(n, name, "graph") ?? refuse(`${n.op} lacks its ${name}`);

export function* branch(n: Node, inputs: readonly (Held | undefined)[], inner: Inner): Steps<Held[]> {
  const [condition] = yield* inner.numbers(inputs[0]!);
  return yield* inner.run(bodyOf(n, condition ? "then_branch" : "else_branch"), []);
}

export function* loop(n: Node, inputs: readonly (Held | undefined)[], inner: Inner): Steps<Held[]> {
  const body = bodyOf(n, "body");
  const [trips, condition, ...first] = inputs;
  const limit = trips ? Number((yield* inner.numbers(trips))[0]) : Number.POSITIVE_INFINITY;
  let go = condition ? Boolean((yield* inner.numbers(condition))[0]) : true;
  let carried = (first as Held[]).map(retain);
  const scans: Held[][] = Array.from({ length: body.outputs.length - 1 - carried.length }, () => []);
  for (let i = 0; i < limit && go; i++) {
    const turn = [tensor("int64", [], [i]), tensor("bool", [], [1])].map((t) => madeHere(inner.alive, t));
    const [next, ...rest] = yield* inner.run(body, [...turn, ...carried]);
    for (const v of [...turn, ...carried]) release(v);
    go = Boolean((yield* inner.numbers(next!))[0]);
    release(next!);
    const states = carried.length;
    carried = rest.slice(0, states);
    scans.forEach((parts, k) => {
      parts.push(rest[states + k]!);
    });
  }
  const count = carried.length;
  return [...carried, ...scans.map((parts, k) => collected(inner, parts, 0, body, 1 + count + k))];
}

export function* scan(n: Node, inputs: readonly (Held | undefined)[], inner: Inner): Steps<Held[]> {
  const body = bodyOf(n, "body");
  const count = intAttribute(n, "num_scan_inputs", 0);
  const states = inputs.length - count;
  const sequences = inputs.slice(states) as Held[];
  const list = (name: string, length: number) => intsAttribute(n, name) ?? new Array<number>(length).fill(0);
  const axes = list("scan_input_axes", count).map((axis, i) => wholeAxis(axis, sequences[i]!.shape.length));
  const backward = list("scan_input_directions", count);
  const length = sequences[0]?.shape[axes[0]!] ?? refuse("Scan has nothing to go along");
  let state = (inputs.slice(0, states) as Held[]).map(retain);
  const scans: Held[][] = Array.from({ length: body.outputs.length - states }, () => []);
  const directions = list("scan_output_directions", scans.length);
  for (let t = 0; t < length; t++) {
    const slices = sequences.map((x, i) => slice(inner, x, axes[i]!, backward[i] === 1 ? length - 1 - t : t));
    const results = yield* inner.run(body, [...state, ...slices]);
    for (const v of [...state, ...slices]) release(v);
    state = results.slice(0, states);
    scans.forEach((parts, k) => {
      const result = results[states + k]!;
      if (directions[k] === 1) parts.unshift(result);
      else parts.push(result);
    });
  }
  const outAxes = list("scan_output_axes", scans.length);
  return [...state, ...scans.map((parts, k) => collected(inner, parts, outAxes[k]!, body, states + k))];
}

/** One index of an axis, which goes. */
function slice({ engine, alive }: Inner, x: Held, axis: number, index: number): Held {
  const { tf } = engine;
  const shape = x.shape.filter((_, i) => i !== axis);
  const from = onDevice(engine, x);
  const device = compute(engine, () => moved(tf, from, (y) => tf.reshape(part(tf, y, axis, index, 1), shape)));
  return made(alive, x.dtype, device);
}

/** Results of all turns along a new axis; where there was no turn, of no elements and the shape that the body declares. */
function collected({ engine, alive }: Inner, parts: readonly Held[], axis: number, body: Graph, output: number): Held {
  const [first] = parts;
  const type = body.outputs[output]?.type;
  const dtype =
    first?.dtype ?? (type?.kind === "tensor" ? type.dtype : refuse("a loop without turns gives no known type"));
  const declared = type?.kind === "tensor" ? (type.shape ?? []) : [];
  const each = first?.shape ?? declared.map((d) => (typeof d === "number" ? d : 0));
  const at = wholeAxis(axis, each.length + 1);
  const shape = [...each.slice(0, at), parts.length, ...each.slice(at)];
  if (!first) return madeHere(alive, tensor(dtype, shape, []));
  const tensors = parts.map((p) => onDevice(engine, p));
  const { tf } = engine;
  const device = compute(engine, () =>
    tensors[0]!.dtype === "bool"
      ? tf.cast(
          tf.stack(
            tensors.map((t) => tf.cast(t, "int32")),
            at,
          ),
          "bool",
        )
      : tf.stack(tensors, at),
  );
  parts.forEach(release);
  return made(alive, dtype, device);
}
