import { byteLengthOf, type DType, failure, type Model, type ValueInfo, viewOf } from "@pare/core";
import { encode } from "@pare/onnx";
import { dtypeFailure, isCarried } from "./local.ts";

/** A tapped value: the graph output it is had from, and what is known of its type. */
export interface Tap {
  readonly name: string;
  readonly output: string;
  readonly info: ValueInfo | undefined;
}

/** How taps are added to a model that is already written. */
export interface Tapping {
  readonly taps: readonly Tap[];
  /**
   * What, put behind the bytes of the model, makes the `selected` taps outputs: protobuf merges messages that follow
   * each other, so that the weights stay where they are.
   */
  patch(selected: readonly Tap[]): Uint8Array;
  /** Selects none; instead each tap's shape is an output. */
  readonly probe: { readonly patch: () => Uint8Array; readonly outputs: readonly string[] };
}

/** @throws PareError `ort/tap` for a name that the main graph does not have, `ort/dtype` */
export function tapping(model: Model, names: readonly string[]): Tapping {
  const view = viewOf(model).main;
  const all = new Set<string>();
  for (const { graph: g } of viewOf(model).graphs) {
    for (const v of [...g.inputs, ...g.outputs]) all.add(v.name);
    for (const name of g.weights.keys()) all.add(name);
    for (const n of g.nodes) for (const v of n.outputs) all.add(v);
  }
  let prefix = "pare";
  while ([...all].some((name) => name.startsWith(prefix))) prefix += "_";

  const order = new Map(view.graph.nodes.flatMap((n) => n.outputs).map((name, i) => [name, i]));
  const taps = [...new Set(names)]
    .sort((a, b) => (order.get(a) ?? -1) - (order.get(b) ?? -1))
    .map((name, i): Tap => {
      if (view.definer(name) !== view)
        throw failure("ort/tap", "the main graph has no value of this name", { location: { value: name } });
      const info = view.info(name);
      if (info?.type && info.type.kind !== "tensor")
        throw failure("ort/tap", `it is a ${info.type.kind}; only tensors can be tapped`, {
          location: { value: name },
        });
      if (info?.type?.kind === "tensor" && !isCarried(info.type.dtype)) throw dtypeFailure(info.type.dtype, name);
      return { name, info, output: order.has(name) || view.isOutput(name) ? name : `${prefix}.tap${i}` };
    });

  const build = (selected: readonly Tap[], shapes: boolean): Uint8Array => {
    const nodes = selected
      .filter((tap) => tap.output !== tap.name)
      .map((tap) => ({ op_type: "Identity", input: [tap.name], output: [tap.output] }));
    const outputs = selected.map((tap) => tap.output).filter((name) => !view.isOutput(name));
    // The engine goes from the last leaf back: it takes the shape of the first value first, and need not keep it.
    if (shapes)
      for (const [i, tap] of [...taps.entries()].reverse()) {
        nodes.push({ op_type: "Shape", input: [tap.name], output: [shapeOutput(i)] });
        outputs.push(shapeOutput(i));
      }
    // Operators of the standard domain need its opset, which a model of other domains may not name.
    const standard = model.opsets.has("") || model.opsets.has("ai.onnx");
    return concat(
      encode("ModelProto", {
        graph: { node: nodes, output: outputs.map((name) => ({ name })) },
        ...(standard ? {} : { opset_import: [{ version: 17 }] }),
      }).pieces,
    );
  };
  const shapeOutput = (i: number) => `${prefix}.shape${i}`;
  return {
    taps,
    patch: (selected) => build(selected, false),
    probe: { patch: () => build([], true), outputs: taps.map((_, i) => shapeOutput(i)) },
  };
}

function concat(pieces: readonly unknown[]): Uint8Array {
  const parts = pieces.filter((p) => p instanceof Uint8Array);
  const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Bytes of a tap, when its declared shape and the symbols say so. */
export function declaredSize(tap: Tap, symbols: ReadonlyMap<string, number>): number | undefined {
  const type = tap.info?.type;
  if (type?.kind !== "tensor" || !type.shape) return undefined;
  let count = 1;
  for (const dim of type.shape) {
    const size = typeof dim === "string" ? symbols.get(dim) : dim;
    if (typeof size !== "number") return undefined;
    count *= size;
  }
  return byteLengthOf(type.dtype, count);
}

/** Bytes of a tap of a shape that was measured. An element of a type nobody knows counts as 8. */
export const measuredSize = (tap: Tap, shape: readonly number[]): number =>
  byteLengthOf(
    tap.info?.type?.kind === "tensor" ? tap.info.type.dtype : ("int64" satisfies DType),
    shape.reduce((n, d) => n * d, 1),
  );

/** Groups taps, in their order, so that the values of a group take at most `budget` bytes or are one. */
export function slicesOf(taps: readonly Tap[], sizes: ReadonlyMap<Tap, number>, budget: number): readonly Tap[][] {
  const slices: Tap[][] = [];
  let used = Number.POSITIVE_INFINITY;
  for (const tap of taps) {
    const size = sizes.get(tap) ?? 0;
    if (used + size > budget) {
      slices.push([]);
      used = 0;
    }
    slices.at(-1)!.push(tap);
    used += size;
  }
  return slices;
}
