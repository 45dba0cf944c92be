import {
  chunksOf,
  type Diagnostic,
  type DType,
  type Exporter,
  type Model,
  PareError,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { print } from "@pare/core/print";

/** Names of element types in the format. (github.com/huggingface/safetensors, README, "Format".) */
const dtypes: Partial<Record<DType, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

const label = ({ view, name }: Weight): string => (view.path ? `${view.path}/${name}` : name);

/** Writes all constants to `name` (`.safetensors`) and the graph as text beside it. */
export const safetensorsExporter: Exporter = {
  format: "safetensors",
  extensions: [".safetensors"],

  check: (model: Model): Diagnostic[] =>
    [...weightsOf(viewOf(model))].flatMap((w) =>
      dtypes[w.tensor.dtype]
        ? []
        : {
            code: "safetensors/dtype",
            severity: "error" as const,
            message: `the format has no ${w.tensor.dtype}`,
            location: { value: label(w) },
          },
    ),

  async export(model, sink, name, { signal, onProgress } = {}) {
    const problems = safetensorsExporter.check(model);
    if (problems.length > 0) throw new PareError(problems);
    const weights = [...weightsOf(viewOf(model))];
    let end = 0;
    const entries = weights.map((w) => {
      const begin = end;
      end += w.tensor.byteLength;
      return [label(w), { dtype: dtypes[w.tensor.dtype], shape: w.tensor.shape, data_offsets: [begin, end] }] as const;
    });
    const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
    // The format wants the data aligned to 8 bytes; spaces may fill the header up.
    const header = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
    header.set(text);
    try {
      const file = await sink.create(name);
      const length = new Uint8Array(8);
      new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
      await file.write(length);
      await file.write(header);
      let done = 0;
      for (const w of weights)
        for await (const chunk of chunksOf(w.tensor, signal)) {
          await file.write(chunk);
          onProgress?.({ task: `write ${name}`, done: (done += chunk.byteLength), total: end, unit: "bytes" });
        }
      await file.close();
      const graphName = name.replace(/(\.safetensors)?$/, ".graph.txt");
      const graph = new TextEncoder().encode(`${print(model)}\n`);
      const graphFile = await sink.create(graphName);
      await graphFile.write(graph);
      await graphFile.close();
      await sink.commit();
      const files = [
        { name, byteLength: 8 + header.length + end },
        { name: graphName, byteLength: graph.length },
      ];
      return { format: "safetensors", files, diagnostics: [] };
    } catch (error) {
      await sink.abort();
      throw error;
    }
  },
};
