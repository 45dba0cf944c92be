import {
  attr,
  byteLengthOf,
  computedTensor,
  type DType,
  type GraphView,
  intAttribute,
  type Node,
  node,
  operatorOf,
  type Rule,
  resident,
  type Tensor,
} from "@pare/core";
import { unpack } from "@pare/ops/numeric";
import { isPlainGemm } from "./gemm.ts";

/**
 * MatMul and Gemm with a weight in blocks of 4 or 8 bits become `com.microsoft.MatMulNBits`, which decodes them as it multiplies.
 * (ONNX Runtime, ContribOperators.md.)
 */
export const fuseBlocks: Rule = {
  name: "MatMulNBits",
  ops: ["MatMul", "Gemm"],
  match(n, view, { weight, fresh }) {
    const found = blockWeight(n, view);
    if (!found) return undefined;
    const { decoder, codes, scale, zeroPoint, byRows, columns, rows, size, bits } = found;
    const [output] = n.outputs;
    const blocks = Math.ceil(rows / size);
    const base = decoder.inputs[0]!;
    const layout = { byRows, columns, rows };
    const blob = byteLengthOf(bits === 4 ? "uint4" : "uint8", size);
    const inputs = [
      n.inputs[0]!,
      weight(`${base}_blocks`, packed(codes, [columns, blocks, blob], { ...layout, of: rows, padded: blocks * size })),
      weight(`${decoder.inputs[1]}_blocks`, turned(scale, { ...layout, of: blocks })),
    ];
    const rowBytes = byteLengthOf(bits === 4 ? "uint4" : "uint8", blocks);
    // Without zero points the operator takes the middle of the codes, which is 0 of signed ones.
    if (zeroPoint || codes.dtype.startsWith("u")) {
      const zeros = zeroPoint ?? zeroCodes(codes.dtype, scale.shape);
      const padded = bits === 4 ? 2 * rowBytes : rowBytes;
      inputs.push(weight(`${base}_zeros`, packed(zeros, [columns * rowBytes], { ...layout, of: blocks, padded })));
    }
    const bias = n.op === "Gemm" ? n.inputs[2] : undefined;
    const product = bias ? fresh(`${output}_product`) : output!;
    const attributes = {
      K: attr.int(rows),
      N: attr.int(columns),
      bits: attr.int(bits),
      block_size: attr.int(size),
    };
    const add = [node("MatMulNBits", inputs, [product], attributes, { name: n.name, domain: "com.microsoft" })];
    if (bias) add.push(node("Add", [product, bias], [output!]));
    return { remove: [n, decoder], add };
  },
};

interface BlockWeight {
  readonly decoder: Node;
  readonly codes: Tensor;
  readonly scale: Tensor;
  readonly zeroPoint: Tensor | undefined;
  /** Whether the weight is stored with a row for each output. */
  readonly byRows: boolean;
  /** Outputs of the product, and inputs. */
  readonly columns: number;
  readonly rows: number;
  readonly size: number;
  readonly bits: 4 | 8;
}

/** The engine's kernels take blocks of 16 to 256. */
const LARGEST_BLOCK = 256;

const bitsOf = new Map<DType, 4 | 8>([
  ["int4", 4],
  ["uint4", 4],
  ["int8", 8],
  ["uint8", 8],
]);

function blockWeight(n: Node, view: GraphView): BlockWeight | undefined {
  const [a, b] = n.inputs;
  const decoder = view.producer(b ?? "");
  if (!a || a === b || !decoder || operatorOf(decoder) !== "DequantizeLinear") return undefined;
  const decoded = decoder.outputs[0]!;
  if (view.uses(decoded).length !== 1 || view.isOutput(decoded)) return undefined;
  const [codes, scale, zeroPoint] = decoder.inputs.map((v) => (v ? view.constant(v) : undefined));
  const bits = codes && bitsOf.get(codes.dtype);
  if (!bits || codes.shape.length !== 2 || scale?.dtype !== "float32" || (decoder.inputs[2] && !zeroPoint))
    return undefined;
  const transposed = n.op === "Gemm" && intAttribute(n, "transB", 0) === 1;
  if (n.op === "Gemm" && !isPlainGemm(n)) return undefined;
  const axis = transposed ? 1 : 0;
  const size = intAttribute(decoder, "block_size", 0);
  const along = intAttribute(decoder, "axis", 1);
  if (size < 16 || size > LARGEST_BLOCK || (size & (size - 1)) !== 0 || (along < 0 ? along + 2 : along) !== axis)
    return undefined;
  const rows = codes.shape[axis]!;
  const columns = codes.shape[1 - axis]!;
  if (scale.shape[axis] !== Math.ceil(rows / size) || scale.shape[1 - axis] !== columns) return undefined;
  return { decoder, codes, scale, zeroPoint, byRows: transposed, columns, rows, size, bits };
}

/** A matrix that is stored with a row for each output, or for each of `of` inputs or blocks. */
interface Stored {
  readonly byRows: boolean;
  readonly columns: number;
  readonly of: number;
}

/** Where element `i` of output `o` stands. */
const at = ({ byRows, columns, of }: Stored, o: number, i: number) => (byRows ? o * of + i : i * columns + o);

/** Codes as unsigned ones, output by output, each filled up to `padded` with the code of zero. */
function packed(t: Tensor, shape: readonly number[], stored: Stored & { readonly padded: number }): Tensor<"uint8"> {
  const { columns, of, padded } = stored;
  const bits = bitsOf.get(t.dtype)!;
  const middle = t.dtype.startsWith("u") ? 0 : 2 ** (bits - 1);
  return computedTensor({
    dtype: "uint8",
    shape,
    key: t.key && `${t.key}|blocks@1:${JSON.stringify(stored)}`,
    async compute(signal) {
      const { bytes } = await resident(t, signal);
      const codes = bits === 4 ? unpack(t.dtype as "int4", bytes, columns * of) : bytes;
      const mask = 2 ** bits - 1;
      const out = new Uint8Array((columns * padded * bits) / 8);
      for (let o = 0; o < columns; o++)
        for (let i = 0; i < padded; i++) {
          const code = ((i < of ? codes[at(stored, o, i)]! : 0) + middle) & mask;
          const element = o * padded + i;
          if (bits === 8) out[element] = code;
          else out[element >> 1]! |= code << (4 * (element & 1));
        }
      return out;
    },
  });
}

/** Scales output by output. */
function turned(t: Tensor, stored: Stored): Tensor<"float32"> {
  const { columns, of } = stored;
  return computedTensor({
    dtype: "float32",
    shape: [columns * of],
    key: t.key && `${t.key}|blocks@1:${JSON.stringify(stored)}`,
    async compute(signal) {
      const scales = new Float32Array((await resident(t, signal)).bytes.slice().buffer);
      return Float32Array.from({ length: columns * of }, (_, k) => scales[at(stored, Math.floor(k / of), k % of)]!);
    },
  });
}

/** Zero points that are all 0. */
const zeroCodes = (dtype: DType, shape: readonly number[]): Tensor =>
  computedTensor({
    dtype: dtype as "uint8",
    shape,
    compute: async () => new Uint8Array(byteLengthOf(dtype, shape[0]! * shape[1]!)),
  });
