import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DType, tensor } from "@pare/core";
import { folderSink } from "@pare/io";
import {
  type DocumentOptions,
  operator,
  type Payload,
  type TfliteGraph,
  type TfliteModel,
  type TfliteOperator,
  type TfliteTensor,
  tensorTypeOf,
  writeModel,
} from "@pare/tflite";

export const value = (
  name: string,
  dtype: DType,
  shape: readonly number[],
  data?: Payload,
  signature?: readonly number[],
): TfliteTensor => ({
  name,
  type: tensorTypeOf(dtype)!,
  shape,
  has_rank: true,
  ...(data ? { data } : {}),
  ...(signature ? { shape_signature: signature } : {}),
});

export const graphOf = (
  tensors: readonly TfliteTensor[],
  inputs: readonly number[],
  outputs: readonly number[],
  operators: readonly TfliteOperator[],
): TfliteGraph => ({ tensors, inputs, outputs, operators });

/** A model with a signature that names the ends of its first graph as the tensors are called. */
export const modelOf = (...graphs: readonly TfliteGraph[]): TfliteModel => {
  const [main] = graphs as [TfliteGraph];
  const end = (tensor: number) => ({ name: main.tensors[tensor]!.name, tensor });
  return {
    graphs,
    signatures: [{ key: "serving_default", graph: 0, inputs: main.inputs.map(end), outputs: main.outputs.map(end) }],
    metadata: [],
  };
};

/** y = relu(x w + b), for any number of rows; x [N, 2], y [N, 3]; `h` is what goes into the Relu. */
export const dense = (): TfliteModel =>
  modelOf(
    graphOf(
      [
        value("x", "float32", [1, 2], undefined, [-1, 2]),
        value("w", "float32", [3, 2], tensor("float32", [3, 2], [1, 4, -2, 5, 3, -6])),
        value("b", "float32", [3], tensor("float32", [3], [0, 0, 1])),
        value("h", "float32", [1, 3], undefined, [-1, 3]),
        value("y", "float32", [1, 3], undefined, [-1, 3]),
      ],
      [0],
      [4],
      [operator("FULLY_CONNECTED", [0, 1, 2], [3]), operator("RELU", [3], [4])],
    ),
  );

/** Adds one to x as often as `times` says: a run as long as one likes. */
export const endless = (): TfliteModel => {
  const one = (dtype: DType) => tensor(dtype, [1], [1]);
  const state = (suffix = "") => [value(`left${suffix}`, "int32", [1]), value(`x${suffix}`, "float32", [1])];
  return modelOf(
    graphOf(
      [value("times", "int32", [1]), value("x", "float32", [1]), ...state("'")],
      [0, 1],
      [3],
      [operator("WHILE", [0, 1], [2, 3], { cond_subgraph_index: 1, body_subgraph_index: 2 })],
    ),
    graphOf(
      [...state(), value("zero", "int32", [1], tensor("int32", [1], [0])), value("go", "bool", [1])],
      [0, 1],
      [3],
      [operator("GREATER", [0, 2], [3])],
    ),
    graphOf(
      [...state(), value("i", "int32", [1], one("int32")), value("f", "float32", [1], one("float32")), ...state("'")],
      [0, 1],
      [4, 5],
      [operator("SUB", [0, 2], [4]), operator("ADD", [1, 3], [5])],
    ),
  );
};

/** y = x of any element type. */
export const same = (dtype: DType, shape: readonly number[]): TfliteModel =>
  modelOf(
    graphOf(
      [
        value("x", dtype, shape),
        value("to", "int32", [shape.length], tensor("int32", [shape.length], [...shape])),
        value("y", dtype, shape),
      ],
      [0],
      [2],
      [operator("RESHAPE", [0, 1], [2], { new_shape: shape })],
    ),
  );

const made: string[] = [];
process.on("exit", () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** Writes a model to a file of its own. */
export async function fileOf(model: TfliteModel, options: DocumentOptions = {}): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "litert-test-"));
  made.push(folder);
  await writeModel(model, folderSink(folder, { durable: false }), "model.tflite", options);
  return join(folder, "model.tflite");
}

/** Folders that this process's sessions have for their files. */
export const folders = (): string[] =>
  readdirSync(tmpdir()).filter((f) => new RegExp(`^pare-\\w+-${process.pid}-`).test(f));

/** Child processes of this one that run an engine. */
export function children(): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
  return lines
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((m) => Number(m?.[2]) === process.pid && m?.[3]?.includes("child.js"))
    .map((m) => Number(m?.[1]));
}
