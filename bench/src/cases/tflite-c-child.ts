/** The process that TFLite's C library runs in: it aborts the process where other libraries give an error. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { DType } from "@pare/core";
import { type Answer, serve } from "@pare/io/process";
import koffi from "koffi";

/** A value as it crosses to and from the library; its bytes are the message's parts. */
export interface CTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Runs the main graph of a file once. Inputs in its order. */
export interface CRequest {
  readonly path: string;
  readonly inputs: readonly CTensor[];
}

/** `TfLiteType` by number. */
const dtypes: readonly (DType | undefined)[] = [
  ...([undefined, "float32", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8"] as const),
  ...(["float16", "float64", "complex128", "uint64", undefined, undefined, "uint32", "uint16", "int4"] as const),
];

const folders: Readonly<Record<string, string>> = {
  "linux x64": "linux_amd64/libtensorflowlite_c.so",
  "linux arm64": "linux_arm64/libtensorflowlite_c.so",
  "darwin arm64": "darwin_arm64/libtensorflowlite_c.dylib",
  "win32 x64": "windows_amd64/tensorflowlite_c.dll",
};

function loadLibrary() {
  const file = folders[`${process.platform} ${process.arch}`];
  if (!file) throw new Error(`tfjs-tflite-node has no library for ${process.platform} ${process.arch}`);
  const home = dirname(createRequire(import.meta.url).resolve("tfjs-tflite-node/package.json"));
  const lib = koffi.load(join(home, "cc_deps", file));
  const f = (name: string, result: string, args: string[]) => lib.func(name, result, args);
  const pointer = "void*";
  return {
    version: f("TfLiteVersion", "str", []),
    model: f("TfLiteModelCreate", pointer, ["const uint8_t*", "size_t"]),
    deleteModel: f("TfLiteModelDelete", "void", [pointer]),
    options: f("TfLiteInterpreterOptionsCreate", pointer, []),
    deleteOptions: f("TfLiteInterpreterOptionsDelete", "void", [pointer]),
    threads: f("TfLiteInterpreterOptionsSetNumThreads", "void", [pointer, "int"]),
    interpreter: f("TfLiteInterpreterCreate", pointer, [pointer, pointer]),
    deleteInterpreter: f("TfLiteInterpreterDelete", "void", [pointer]),
    allocate: f("TfLiteInterpreterAllocateTensors", "int", [pointer]),
    invoke: f("TfLiteInterpreterInvoke", "int", [pointer]),
    input: f("TfLiteInterpreterGetInputTensor", pointer, [pointer, "int"]),
    outputs: f("TfLiteInterpreterGetOutputTensorCount", "int", [pointer]),
    output: f("TfLiteInterpreterGetOutputTensor", pointer, [pointer, "int"]),
    resize: f("TfLiteInterpreterResizeInputTensor", "int", [pointer, "int", "const int*", "int"]),
    type: f("TfLiteTensorType", "int", [pointer]),
    rank: f("TfLiteTensorNumDims", "int", [pointer]),
    dim: f("TfLiteTensorDim", "int", [pointer, "int"]),
    byteSize: f("TfLiteTensorByteSize", "size_t", [pointer]),
    copyIn: f("TfLiteTensorCopyFromBuffer", "int", [pointer, "const void*", "size_t"]),
    copyOut: f("TfLiteTensorCopyToBuffer", "int", [pointer, "void*", "size_t"]),
  };
}

let library: ReturnType<typeof loadLibrary> | undefined;

function run({ path, inputs }: CRequest, parts: readonly Uint8Array[]): Answer {
  const c = (library ??= loadLibrary());
  const bytes = readFileSync(path);
  const model = c.model(bytes, bytes.length);
  if (!model) throw new Error("TFLite does not take it for a model");
  const options = c.options();
  c.threads(options, 1);
  const interpreter = c.interpreter(model, options);
  const check = (status: number, what: string) => {
    if (status !== 0) throw new Error(`TFLite cannot ${what}`);
  };
  try {
    if (!interpreter) throw new Error("TFLite cannot make an interpreter for the model");
    for (const [i, { shape }] of inputs.entries())
      check(c.resize(interpreter, i, Int32Array.from(shape), shape.length), "resize an input");
    check(c.allocate(interpreter), "allocate tensors");
    for (const [i, part] of parts.entries()) {
      const to = c.input(interpreter, i);
      const size = Number(c.byteSize(to));
      if (dtypes[c.type(to)] !== inputs[i]!.dtype || size !== part.byteLength)
        throw new Error(`input ${i} takes ${size} bytes of ${dtypes[c.type(to)]}`);
      if (size > 0) check(c.copyIn(to, part, size), "take an input");
    }
    check(c.invoke(interpreter), "run the model");
    const results = Array.from({ length: c.outputs(interpreter) }, (_, i) => {
      const from = c.output(interpreter, i);
      const out = new Uint8Array(Number(c.byteSize(from)));
      if (out.length > 0) check(c.copyOut(from, out, out.length), "give an output");
      const shape = Array.from({ length: c.rank(from) }, (_, k) => c.dim(from, k));
      const dtype = dtypes[c.type(from)];
      if (!dtype) throw new Error(`output ${i} is of type ${c.type(from)}`);
      return { tensor: { dtype, shape } satisfies CTensor, bytes: out };
    });
    return { ok: results.map((r) => r.tensor), parts: results.map((r) => r.bytes) };
  } finally {
    if (interpreter) c.deleteInterpreter(interpreter);
    c.deleteOptions(options);
    c.deleteModel(model);
  }
}

await serve(
  async (request, parts) =>
    request === "version" ? { ok: (library ??= loadLibrary()).version() } : run(request as CRequest, parts),
  "tflite-c/failed",
);
