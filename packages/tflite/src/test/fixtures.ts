import { tensor } from "@pare/core";
import { modelBytes } from "../format/files.ts";
import { operator, type TfliteModel, type TfliteTensor } from "../format/model.ts";
import { inMemory } from "../format/payload.ts";

const floats = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i + 1));
const value = (name: string, shape: readonly number[], more: Partial<TfliteTensor> = {}): TfliteTensor => ({
  name,
  type: "FLOAT32",
  shape,
  has_rank: true,
  ...more,
});

/** A convolution, a dense layer that stores its matrix twice, a branch, a custom operator: something of everything. */
export const richModel = (): TfliteModel => ({
  description: "made for tests",
  graphs: [
    {
      name: "main",
      tensors: [
        value("image", [1, 4, 4, 1], { shape_signature: [-1, 4, 4, 1] }),
        value("kernel", [2, 3, 3, 1], { data: tensor("float32", [2, 3, 3, 1], floats(18)) }),
        value("bias", [2], { data: tensor("float32", [2], [0.5, -0.5]) }),
        value("conv", [1, 4, 4, 2], { shape_signature: [-1, 4, 4, 2] }),
        value("matrix", [2, 32], {
          type: "INT8",
          data: tensor("int8", [2, 32], new Int8Array(64).fill(7)),
          quantization: { scale: [0.1, 0.2], zero_point: [0, 0], quantized_dimension: 0 },
        }),
        value("same matrix", [2, 32], {
          type: "INT8",
          data: tensor("int8", [2, 32], new Int8Array(64).fill(7)),
          quantization: { scale: [0.1, 0.2], zero_point: [0, 0], quantized_dimension: 0 },
        }),
        value("dense", [1, 2]),
        value("more", [1, 2]),
        value("which", [1], { type: "BOOL" }),
        value("chosen", [1, 2]),
        value("y", [1, 2]),
        value("state", [3], { is_variable: true }),
        value("sparse", [2, 4], {
          data: tensor("float32", [2], [1, 2]),
          sparsity: {
            traversal_order: [0, 1],
            dim_metadata: [
              { dense_size: 2 },
              {
                format: "SPARSE_CSR",
                array_segments: { type: "Uint8Vector", value: { values: Uint8Array.of(0, 1, 2) } },
                array_indices: { type: "Int32Vector", value: { values: [1, 3] } },
              },
            ],
          },
        }),
      ],
      inputs: [0, 8],
      outputs: [10],
      operators: [
        operator("CONV_2D", [0, 1, 2], [3], {
          padding: "SAME",
          stride_w: 1,
          stride_h: 1,
          fused_activation_function: "RELU",
        }),
        operator("FULLY_CONNECTED", [3, 4, -1], [6]),
        operator("FULLY_CONNECTED", [3, 5, -1], [7], { asymmetric_quantize_inputs: true }),
        operator("IF", [8, 6, 7], [9], { then_subgraph_index: 1, else_subgraph_index: 2 }),
        {
          code: { builtin: "CUSTOM", custom: "Twice", version: 2 },
          inputs: [9, 12],
          outputs: [10],
          custom_options: Uint8Array.of(1, 2, 3),
          mutating_variable_inputs: [false, true],
          intermediates: [11],
        },
      ],
    },
    ...(["ADD", "MUL"] as const).map((op, i) => ({
      name: `branch ${i}`,
      tensors: [value("a", [1, 2]), value("b", [1, 2]), value("c", [1, 2])],
      inputs: [0, 1],
      outputs: [2],
      operators: [operator(op, [0, 1], [2])],
    })),
  ],
  signatures: [
    {
      key: "serving_default",
      graph: 0,
      inputs: [
        { name: "which", tensor: 8 },
        { name: "image", tensor: 0 },
      ],
      outputs: [{ name: "result", tensor: 10 }],
    },
  ],
  metadata: [{ name: "note", data: inMemory(Uint8Array.of(7, 7)) }],
  appended: inMemory(new TextEncoder().encode("PK\x03\x04 labels of the classes, in an archive")),
});

export const richBytes = (): Promise<Uint8Array> => modelBytes(richModel());
