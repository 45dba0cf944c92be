import { byteLengthOf, type DType, failure, type Model, tensor, type ValueInfo, viewOf } from "@pare/core";
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
   * each other, so that the weights stay where they are. The other taps get a reader that costs next to nothing: the
   * engine then fuses the same operators whichever taps are selected, and each gives the same value.
   */
  patch(selected: ReadonlySet<Tap>): Uint8Array;
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

  const opset = model.opsets.get("") ?? model.opsets.get("ai.onnx");
  const ints = (name: string, value: number) => {
    const { bytes: raw_data } = tensor("int64", [1], [value]);
    return { name, dims: [1], data_type: 7, raw_data };
  };
  const op = (op_type: string, input: string[], output: string, attribute: object[] = []) => ({
    op_type,
    input,
    output: [output],
    ...(attribute.length > 0 ? { attribute } : {}),
  });
  const attribute = (name: string, value: number) => ({ name, type: 7, ints: [value] });

  const build = (selected: (tap: Tap) => boolean, shapes: boolean): Uint8Array => {
    const node: object[] = [];
    const output: object[] = [];
    const [flat, zero, one] = [`${prefix}.flat`, `${prefix}.zero`, `${prefix}.one`];
    taps.forEach((tap, i) => {
      if (shapes) {
        node.push(op("Shape", [tap.name], `${prefix}.shape${i}`));
        output.push({ name: `${prefix}.shape${i}` });
      }
      if (view.isOutput(tap.name)) return;
      if (tap.output !== tap.name) {
        if (!selected(tap)) return;
        node.push(op("Identity", [tap.name], tap.output));
        output.push({ name: tap.output });
      } else if (selected(tap)) output.push({ name: tap.name });
      else {
        node.push(op("Reshape", [tap.name, flat], `${prefix}.flat${i}`));
        node.push(
          opset === undefined || opset >= 10
            ? op("Slice", [`${prefix}.flat${i}`, zero, one], `${prefix}.first${i}`)
            : op("Slice", [`${prefix}.flat${i}`], `${prefix}.first${i}`, [
                attribute("starts", 0),
                attribute("ends", 1),
              ]),
        );
        output.push({ name: `${prefix}.first${i}` });
      }
    });
    const initializer = node.length > 0 ? [ints(flat, -1), ints(zero, 0), ints(one, 1)] : [];
    const { pieces } = encode("ModelProto", {
      graph: { node, output, initializer },
      ...(opset === undefined ? { opset_import: [{ version: 17 }] } : {}),
    });
    return concat(pieces);
  };
  return {
    taps,
    patch: (selected) => build((tap) => selected.has(tap), false),
    probe: { patch: () => build(() => false, true), outputs: taps.map((_, i) => `${prefix}.shape${i}`) },
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
