import { ensureModel } from "./check.ts";
import { type Code, fail } from "./codes.ts";
import type { TfliteDocument } from "./document.ts";
import type { TfliteCode, TfliteEnd, TfliteGraph, TfliteModel, TfliteOperator, TfliteTensor } from "./model.ts";
import type { Payload } from "./payload.ts";
import { enums, type Tables } from "./schema.gen.ts";

/**
 * The model that a document holds: constants in their tensors, operators that say what they are.
 * @throws PareError `tflite/index`, `tflite/shape`, `tflite/buffer` with all that is wrong
 */
export function modelOf({ model: m, appended }: TfliteDocument, file: string): TfliteModel {
  const at = <T>(list: readonly T[] | undefined, index: number, what: string): T => {
    const found = list?.[index];
    if (found === undefined)
      throw bad("tflite/index", `there is no ${what} ${index}: the file has ${list?.length ?? 0}`, file);
    return found;
  };
  const dataOf = (buffer: number): Payload | undefined => {
    // The first buffer stands for none, even in a file that has no buffers at all.
    return buffer === 0 ? undefined : at(m.buffers, buffer, "buffer").data;
  };
  const model: TfliteModel = {
    ...pick(m, ["description", "metadata_buffer", "external_buffer_groups", "external_buffers"]),
    graphs: (m.subgraphs ?? []).map((g): TfliteGraph => {
      const { tensors, inputs = [], outputs = [], operators, ...rest } = g;
      return {
        ...rest,
        inputs,
        outputs,
        tensors: (tensors ?? []).map((t): TfliteTensor => {
          const { name = "", type = "FLOAT32", shape = [], buffer = 0, ...more } = t;
          const data = dataOf(buffer);
          // Old converters gave every value a buffer: an empty one makes a constant of what has no elements only.
          const isConstant = data && (data.byteLength > 0 || shape.includes(0));
          return { name, type, shape, ...more, ...(isConstant ? { data } : {}) };
        }),
        operators: (operators ?? []).map((op): TfliteOperator => {
          const { opcode_index = 0, inputs: reads = [], outputs: writes = [], ...more } = op;
          return {
            code: codeOf(at(m.operator_codes, opcode_index, "operator code")),
            inputs: reads,
            outputs: writes,
            ...more,
          };
        }),
      };
    }),
    signatures: (m.signature_defs ?? []).map((s) => ({
      key: s.signature_key ?? "",
      graph: s.subgraph_index ?? 0,
      inputs: (s.inputs ?? []).map(endOf),
      outputs: (s.outputs ?? []).map(endOf),
    })),
    metadata: (m.metadata ?? []).map(({ name = "", buffer = 0 }) => ({ name, data: dataOf(buffer) })),
    ...(appended ? { appended } : {}),
  };
  ensureModel(model, file);
  return model;
}

const bad = (code: Code, message: string, file: string) => fail(code, message, { location: { file } });

const endOf = ({ name = "", tensor_index = 0 }: Tables["TensorMap"]): TfliteEnd => ({ name, tensor: tensor_index });

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.filter((k) => from[k] !== undefined).map((k) => [k, from[k]])) as Pick<T, K>;
}

/** Old files say what an operator is in a byte, new ones in both places, the byte being 127 where it does not suffice. */
function codeOf({
  deprecated_builtin_code: old = 0,
  builtin_code: now = 0,
  custom_code,
  version = 1,
}: Tables["OperatorCode"]): TfliteCode {
  const number = Math.max(old, typeof now === "number" ? now : enums.BuiltinOperator.indexOf(now));
  const builtin = enums.BuiltinOperator[number] ?? number;
  return { builtin, version, ...(custom_code === undefined ? {} : { custom: custom_code }) };
}
