import { type ByteRange, type ByteSource, checkRange } from "@pare/core";
import { encode } from "../encode.ts";
import type { Message, MessageName, OnnxDocument, Payload } from "../proto.ts";

/** All bytes of a message. */
export async function bytesOfMessage<N extends MessageName>(name: N, message: Message<N>): Promise<Uint8Array> {
  const { byteLength, pieces } = encode(name, message);
  const out = new Uint8Array(byteLength);
  let at = 0;
  for (const piece of pieces) {
    out.set(await bytesOf(piece), at);
    at += piece.byteLength;
  }
  return out;
}

export const bytesOf = async (piece: Payload): Promise<Uint8Array> =>
  piece instanceof Uint8Array ? piece : piece.read({ offset: 0, length: piece.byteLength });

/** A source that is no memory: each read is a copy, and is noted. */
export function fileLike(
  bytes: Uint8Array,
  name = "model.onnx",
): ByteSource & { readonly reads: ByteRange[]; closed: boolean } {
  const reads: ByteRange[] = [];
  return {
    name,
    byteLength: bytes.byteLength,
    reads,
    closed: false,
    async read(range, signal) {
      signal?.throwIfAborted();
      checkRange(range, bytes.byteLength, name);
      reads.push(range);
      await undefined;
      return bytes.slice(range.offset, range.offset + range.length);
    },
    async close() {
      this.closed = true;
    },
  };
}

/** A field of a message by hand: tag and payload. */
export const varint = (value: number | bigint): number[] => {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return [...out, Number(rest)];
};
export const concat = (...parts: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
export const lengthDelimited = (field: number, payload: ArrayLike<number>): Uint8Array<ArrayBuffer> =>
  concat(varint(field * 8 + 2), varint(payload.length), payload);

/** Whether two arrays hold the same bytes; `toEqual` takes seconds for a million. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

const text = (s: string) => new TextEncoder().encode(s);
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const info = (name: string, elem_type: number, ...dims: (number | string)[]): Message<"ValueInfoProto"> => ({
  name,
  type: {
    tensor_type: {
      elem_type,
      shape: { dim: dims.map((d) => (typeof d === "number" ? { dim_value: d } : { dim_param: d })) },
    },
  },
});

/** A model with something of everything: branches, a function, sparse and typed data, annotations, unknown fields. */
export function richDocument(): OnnxDocument {
  const branch = (name: string, factor: number): Message<"GraphProto"> => ({
    name,
    node: [
      {
        output: [`${name}_c`],
        op_type: "Constant",
        attribute: [{ name: "value", type: 4, t: { data_type: 1, dims: [2], float_data: floats(factor, 2) } }],
      },
      { input: ["h", `${name}_c`], output: [`${name}_y`], op_type: "Mul", name: `${name}_mul` },
    ],
    output: [info(`${name}_y`, 1, "N", 2)],
  });
  return {
    ir_version: 10,
    producer_name: "a trainer",
    producer_version: "1.2",
    domain: "org.example",
    model_version: 7,
    doc_string: "for tests — with ümlauts",
    opset_import: [{ version: 21 }, { domain: "acme", version: 3 }],
    metadata_props: [
      { key: "license", value: "MIT" },
      { key: "__proto__", value: "polluted" },
    ],
    functions: [
      {
        name: "Twice",
        domain: "acme",
        input: ["a"],
        output: ["b"],
        attribute: ["unused"],
        attribute_proto: [{ name: "gain", type: 1, f: 2 }],
        opset_import: [{ version: 21 }],
        node: [
          { input: ["a", "a"], output: ["s"], op_type: "Add", attribute: [] },
          {
            input: ["s"],
            output: ["b"],
            op_type: "LeakyRelu",
            attribute: [{ name: "alpha", type: 1, ref_attr_name: "gain" }],
          },
        ],
      },
    ],
    graph: {
      name: "main",
      doc_string: "the graph",
      input: [info("x", 1, "N", 3), info("flag", 9)],
      output: [{ ...info("y", 1, "N", 2), doc_string: "result" }],
      value_info: [info("h", 1, "N", 2)],
      initializer: [
        { name: "w", data_type: 1, dims: [3, 2], raw_data: floats(1, -2, 3, 0.5, 0.25, -1), doc_string: "weights" },
        { name: "bias", data_type: 10, dims: [2], int32_data: Uint8Array.from([...varint(0x3c00), ...varint(0xc000)]) },
        { name: "axes", data_type: 7, dims: [2], int64_data: Uint8Array.from([...varint(-1), ...varint(5)]) },
        { name: "words", data_type: 8, dims: [2], string_data: [text("ab"), Uint8Array.of(0xff)] },
        { name: "nibbles", data_type: 22, dims: [3], raw_data: Uint8Array.of(0x21, 0x0f) },
      ],
      sparse_initializer: [
        {
          values: { name: "sparse_w", data_type: 1, dims: [2], raw_data: floats(3, 4) },
          indices: { data_type: 7, dims: [2], int64_data: Uint8Array.of(1, 3) },
          dims: [2, 3],
        },
      ],
      quantization_annotation: [
        { tensor_name: "w", quant_parameter_tensor_names: [{ key: "SCALE_TENSOR", value: "bias" }] },
      ],
      metadata_props: [{ key: "stage", value: "1" }],
      node: [
        {
          input: ["x", "w"],
          output: ["h"],
          op_type: "MatMul",
          name: "dense",
          doc_string: "a node",
          metadata_props: [{ key: "layer", value: "0" }],
          unknown: lengthDelimited(99, [1, 2, 3]),
        },
        {
          input: ["flag"],
          output: ["chosen"],
          op_type: "If",
          name: "If_0",
          attribute: [
            { name: "then_branch", type: 5, g: branch("then", 3) },
            { name: "else_branch", type: 5, g: branch("else", -1) },
          ],
        },
        {
          input: ["chosen", ""],
          output: ["y", ""],
          op_type: "Twice",
          domain: "acme",
          overload: "",
          attribute: [
            { name: "ints", type: 7, ints: [1, -2, 2n ** 62n] },
            { name: "floats", type: 6, floats: Float32Array.of(1.5, -0) },
            { name: "texts", type: 8, strings: [text("é"), Uint8Array.of(0xfe)] },
            { name: "mode", type: 3, s: text("linear"), doc_string: "how" },
          ],
        },
      ],
    },
  };
}
