import { expect, test } from "vitest";
import { minimumRuntime } from "./minimum-runtime.ts";
import { operator, type TfliteModel, type TfliteTensor } from "./model.ts";
import type { BuiltinOperator } from "./options.ts";
import { runtimeVersions } from "./runtime-versions.gen.ts";
import { enums } from "./schema.gen.ts";
import { lowestVersion, type Signature } from "./versions.ts";

const t = (type: TfliteTensor["type"], shape: readonly number[] = [1, 4, 4, 2], more: Partial<TfliteTensor> = {}) => ({
  name: "",
  type,
  shape,
  ...more,
});
const scales = (...scale: number[]) => ({ quantization: { scale, zero_point: scale.map(() => 0) } });
const of = (
  op: BuiltinOperator,
  inputs: Signature["inputs"],
  output: TfliteTensor = t("FLOAT32"),
  options: object = {},
) => lowestVersion(op, { inputs, outputs: [output], options: options as Signature["options"] });

// What tflite/converter/tools/versioning/op_version.cc and its test say.
test.each<[BuiltinOperator, number, Signature["inputs"], TfliteTensor?, object?]>([
  ["CONV_2D", 1, [t("FLOAT32"), t("FLOAT32", [2, 3, 3, 2])]],
  ["CONV_2D", 2, [t("FLOAT32"), t("INT8", [2, 3, 3, 2], scales(1))]],
  ["CONV_2D", 5, [t("FLOAT32"), t("INT8", [2, 3, 3, 2], scales(1, 2))]],
  ["CONV_2D", 3, [t("INT8"), t("INT8", [2, 3, 3, 2])], t("INT8")],
  ["CONV_2D", 6, [t("FLOAT32"), t("FLOAT32", [2, 3, 3, 1])]],
  ["CONV_2D", 7, [t("INT8"), t("INT4", [2, 3, 3, 2])], t("INT8")],
  ["CONV_2D", 8, [t("INT16"), t("INT8", [2, 3, 3, 2])], t("INT16"), { quantized_bias_type: "INT32" }],
  ["DEPTHWISE_CONV_2D", 2, [t("FLOAT32"), t("FLOAT32")], t("FLOAT32"), { dilation_w_factor: 2 }],
  ["DEPTHWISE_CONV_2D", 6, [t("FLOAT32"), t("INT8", [1, 3, 3, 2], scales(1, 2))]],
  ["FULLY_CONNECTED", 1, [t("FLOAT32"), t("FLOAT32"), t("FLOAT32")]],
  ["FULLY_CONNECTED", 6, [t("FLOAT32"), t("FLOAT32")]],
  ["FULLY_CONNECTED", 5, [t("FLOAT32"), t("FLOAT32"), undefined], t("FLOAT32"), { keep_num_dims: true }],
  ["FULLY_CONNECTED", 4, [t("INT8"), t("INT8"), t("INT32")], t("INT8")],
  ["FULLY_CONNECTED", 9, [t("FLOAT32"), t("INT8"), t("FLOAT32")], t("FLOAT32"), { asymmetric_quantize_inputs: true }],
  ["FULLY_CONNECTED", 12, [t("FLOAT32"), t("INT8", [2, 4], scales(1, 2)), t("FLOAT32")]],
  ["FULLY_CONNECTED", 8, [t("FLOAT32"), t("FLOAT32", [2, 4], { sparsity: {} }), t("FLOAT32")]],
  ["TRANSPOSE", 4, [t("FLOAT32", [1, 2, 3, 4, 5])]],
  ["TRANSPOSE", 6, [t("FLOAT32", [1, 2, 3, 4, 5, 6])]],
  ["SUB", 3, [t("FLOAT32", [1, 2, 3, 4, 5]), t("FLOAT32", [5])]],
  ["SUB", 1, [t("FLOAT32", [1, 2, 3, 4, 5]), t("FLOAT32", [1, 2, 3, 4, 5])]],
  ["ADD", 4, [t("INT64"), t("INT64")], t("INT64")],
  ["MUL", 3, [t("INT8", [1], scales(2)), t("INT8", [1], scales(2))], t("INT8", [1], scales(1))],
  ["RESIZE_BILINEAR", 3, [t("FLOAT32")], t("FLOAT32"), { half_pixel_centers: true }],
  ["TRANSPOSE_CONV", 3, [t("INT32"), t("FLOAT32"), t("FLOAT32"), t("FLOAT32")]],
  ["TRANSPOSE_CONV", 4, [t("INT32"), t("FLOAT32"), t("FLOAT32")], t("FLOAT32"), { fused_activation_function: "RELU" }],
  ["DEQUANTIZE", 3, [t("FLOAT16")]],
  ["DEQUANTIZE", 5, [t("INT8", [2, 4], scales(1, 2))]],
  ["STRIDED_SLICE", 6, [t("FLOAT32")], t("FLOAT32"), { new_axis_mask: 1 }],
  ["BROADCAST_TO", 2, [t("FLOAT32")]],
  ["CAST", 5, [t("FLOAT16")]],
  ["WHERE", 2, [t("FLOAT32")], t("INT64")],
  ["GATHER", 5, [t("FLOAT32"), t("INT32")], t("FLOAT32"), { batch_dims: 1 }],
])("%s is of version %i", (op, version, inputs, output, options) => {
  expect(of(op, inputs, output, options)).toBe(version);
});

test("for every type, LiteRT knows the version that is chosen, and the runtime that has it", () => {
  const unknown = new Set<string>();
  for (const op of enums.BuiltinOperator)
    for (const type of enums.TensorType)
      for (const shape of [[4], [1, 2, 3, 4], [1, 2, 3, 4, 5]]) {
        const version = of(op, [t(type, shape), t(type, shape), t(type, shape), t(type, shape)], t(type, shape));
        const known = runtimeVersions[op]?.split(" ")[version - 1];
        if (runtimeVersions[op] && (known === undefined || known === "-")) unknown.add(`${op} ${version}`);
      }
  expect([...unknown]).toEqual([]);
});

test("a model needs the newest runtime that any of its operators needs", () => {
  const values = [t("FLOAT32", [1, 2]), t("FLOAT32", [1, 2])].map((v, i) => ({ ...v, name: `v${i}` }));
  const model = (...operators: TfliteModel["graphs"][0]["operators"]): TfliteModel => ({
    graphs: [{ tensors: values, inputs: [0], outputs: [1], operators }],
    signatures: [],
    metadata: [],
  });
  expect(minimumRuntime(model(operator("RELU", [0], [1])))).toBe("1.5.0");
  expect(minimumRuntime(model(operator("RELU", [0], [1]), operator("GELU", [0], [1])))).toBe("2.9.0");
  expect(minimumRuntime(model(operator("SIGN", [0], [1]), operator("GELU", [0], [1])))).toBe("2.11.0");
  expect(minimumRuntime(model())).toBe("");
});
