import { attr, type Graph, renameReads } from "@pare/core";
import type { Builder, Lower } from "../lower/builder.ts";

/** Steps that are written out at most. */
const LIMIT = 4096;

/** Adds the nodes of a graph on given inputs; gives the values of its outputs. */
function inline(b: Builder, body: Graph, inputs: readonly string[]): string[] {
  const names = new Map(body.inputs.map((v, i) => [v.name, inputs[i]!]));
  for (const [name, t] of body.weights) names.set(name, b.constant(t));
  if (body.sparseWeights.size > 0) b.refuse("its body has sparse weights");
  for (const n of body.nodes) {
    const renamed = renameReads(n, (v) => names.get(v) ?? v);
    const outputs = n.outputs.map((v) => v && b.fresh(v));
    n.outputs.forEach((v, i) => void names.set(v, outputs[i]!));
    if (n.domain !== "") b.refuse(`its body has an operator of another domain, ${n.domain}.${n.op}`);
    b.add(n.op, renamed.inputs, Object.fromEntries(renamed.attributes), outputs);
  }
  return body.outputs.map((v) => names.get(v.name) ?? v.name);
}

const stack = (b: Builder, parts: readonly string[], axis: number) =>
  b.add(
    "Concat",
    parts.map((v) => b.add("Unsqueeze", [v, b.ints([axis])])),
    { axis: attr.int(axis) },
  );

function bounded(b: Builder, steps: number | undefined): number {
  if (steps === undefined) return b.refuse("how often it runs is not known: fix the dimensions of the inputs");
  return steps <= LIMIT ? steps : b.refuse(`it runs ${steps} times, and at most ${LIMIT} are written out`);
}

const finish = (b: Builder, values: readonly (string | undefined)[]) =>
  b.node.outputs.forEach((name, i) => {
    if (name) b.add("Identity", [values[i] ?? b.refuse("what it stacks is empty")], {}, [name]);
  });

const scan: Lower = (b) => {
  const body = b.attribute("body", "graph") ?? b.refuse("it has no body");
  const count = b.intOf("num_scan_inputs", 0);
  const inputs = b.node.inputs;
  const kept = inputs.length - count;
  const [axes, directions] = [b.intsOf("scan_input_axes"), b.intsOf("scan_input_directions")];
  const [outAxes, outDirections] = [b.intsOf("scan_output_axes"), b.intsOf("scan_output_directions")];
  const sizes = inputs.slice(kept).map((v, i) => b.shape(v)?.at(axes?.[i] ?? 0));
  const steps = bounded(
    b,
    sizes.find((d): d is number => typeof d === "number"),
  );
  let state = inputs.slice(0, kept);
  const stacked: string[][] = body.outputs.slice(kept).map(() => []);
  for (let t = 0; t < steps; t++) {
    const items = inputs.slice(kept).map((v, i) => {
      const at = directions?.[i] === 1 ? steps - 1 - t : t;
      return b.add("Gather", [v, b.int(at)], { axis: attr.int(axes?.[i] ?? 0) });
    });
    const results = inline(b, body, [...state, ...items]);
    state = results.slice(0, kept);
    stacked.forEach((list, i) => {
      if (outDirections?.[i] === 1) list.unshift(results[kept + i]!);
      else list.push(results[kept + i]!);
    });
  }
  finish(b, [...state, ...stacked.map((list, i) => (list.length > 0 ? stack(b, list, outAxes?.[i] ?? 0) : undefined))]);
};

const loop: Lower = (b) => {
  const body = b.attribute("body", "graph") ?? b.refuse("it has no body");
  const [limit, condition, ...initial] = b.node.inputs;
  const count = limit ? b.constantInts(limit)?.[0] : undefined;
  const goes = condition === undefined || condition === "" || b.constantBool(condition) === true;
  const end = body.outputs[0]!.name;
  const writer = body.nodes.find((n) => n.outputs.includes(end));
  const passes =
    end === body.inputs[1]?.name || (writer?.op === "Identity" && writer.inputs[0] === body.inputs[1]?.name);
  if (!goes || !passes) b.refuse("whether it goes on is known only when the model runs");
  const steps = bounded(b, count);
  let state: readonly string[] = initial;
  const stacked: string[][] = body.outputs.slice(1 + initial.length).map(() => []);
  for (let t = 0; t < steps; t++) {
    const yes = b.cast(b.int(1), "bool");
    const results = inline(b, body, [b.int(t), yes, ...state]);
    state = results.slice(1, 1 + initial.length);
    for (const [i, list] of stacked.entries()) list.push(results[1 + initial.length + i]!);
  }
  finish(b, [...state, ...stacked.map((list) => (list.length > 0 ? stack(b, list, 0) : undefined))]);
};

/** Loops whose number of steps is known as what they do step by step. */
export const loops: Readonly<Record<string, Lower>> = { Scan: scan, Loop: loop };
