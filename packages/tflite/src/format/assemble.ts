import { equalContents } from "@pare/ops/weights";
import { ensureModel } from "./check.ts";
import { SCHEMA_VERSION, type TfliteDocument } from "./document.ts";
import { minimumRuntime } from "./minimum-runtime.ts";
import type { TfliteCode, TfliteEnd, TfliteMetadata, TfliteModel } from "./model.ts";
import { inMemory, type Payload } from "./payload.ts";
import { enums, type Tables } from "./schema.gen.ts";
import { versionOf } from "./versions.ts";

/** The entry of metadata that says which runtime is needed, and the bytes that LiteRT gives it. */
const MIN_RUNTIME = "min_runtime_version";
const MIN_RUNTIME_BYTES = 16;

/**
 * The document of a model: equal constants in one buffer, one code for each operator and version. `min_runtime_version` is
 * added to the metadata unless it is there. The same model gives the same document.
 * @throws PareError `tflite/index`, `tflite/shape`, `tflite/buffer` with all that is wrong
 */
export async function assemble(model: TfliteModel, signal?: AbortSignal): Promise<TfliteDocument> {
  ensureModel(model);
  const metadata = withRuntime(model);
  const buffers = await bufferTable(model, metadata, signal);
  const codes = codeTable();
  const subgraphs = model.graphs.map(({ tensors, operators, ...graph }): Tables["SubGraph"] => ({
    ...graph,
    tensors: tensors.map(({ data, ...t }) => ({ ...t, buffer: buffers.indexOf(data) })),
    operators: operators.map(({ code, ...op }) => ({
      ...op,
      opcode_index: codes.indexOf({ ...code, version: versionOf({ ...op, code }, tensors) }),
    })),
  }));
  const { description, metadata_buffer, external_buffer_groups, external_buffers, appended } = model;
  return {
    model: {
      version: SCHEMA_VERSION,
      operator_codes: codes.table,
      subgraphs,
      description,
      buffers: buffers.table,
      metadata_buffer,
      metadata: metadata.map(({ name, data }) => ({ name, buffer: buffers.indexOf(data) })),
      signature_defs: model.signatures.map(({ key, graph, inputs, outputs }) => ({
        inputs: inputs.map(mapOf),
        outputs: outputs.map(mapOf),
        signature_key: key,
        subgraph_index: graph,
      })),
      external_buffer_groups,
      external_buffers,
    },
    appended,
  };
}

const mapOf = ({ name, tensor }: TfliteEnd): Tables["TensorMap"] => ({ name, tensor_index: tensor });

function withRuntime(model: TfliteModel): readonly TfliteMetadata[] {
  const runtime = new TextEncoder().encode(minimumRuntime(model));
  if (model.metadata.some((m) => m.name === MIN_RUNTIME) || runtime.length === 0) return model.metadata;
  const bytes = new Uint8Array(MIN_RUNTIME_BYTES);
  bytes.set(runtime.subarray(0, MIN_RUNTIME_BYTES - 1));
  return [...model.metadata, { name: MIN_RUNTIME, data: inMemory(bytes) }];
}

/** The buffers of a file: the first is empty and stands for no data. */
async function bufferTable(model: TfliteModel, metadata: readonly TfliteMetadata[], signal?: AbortSignal) {
  const holds = (data: Payload | undefined): data is Payload => data !== undefined;
  // Metadata apart: readers look for it inside the flatbuffer, even where weights stand behind it.
  const weights = model.graphs.flatMap((g) => g.tensors.map((t) => t.data)).filter(holds);
  const notes = metadata.map((m) => m.data).filter(holds);
  const index = new Map<Payload, number>();
  const table: Tables["Buffer"][] = [{}];
  for (const payloads of [weights, notes]) {
    for (const equal of await equalContents(payloads, (p) => p, signal)) {
      for (const p of equal) index.set(p, table.length);
      table.push({ data: equal[0] });
    }
  }
  return { table, indexOf: (data: Payload | undefined) => (holds(data) ? index.get(data)! : 0) };
}

/** The operator codes of a file in the order of first use. */
function codeTable() {
  const table: Tables["OperatorCode"][] = [];
  const index = new Map<string, number>();
  return {
    table,
    indexOf({ builtin, custom, version = 1 }: TfliteCode): number {
      const key = JSON.stringify([builtin, custom, version]);
      const known = index.get(key);
      if (known !== undefined) return known;
      const number = typeof builtin === "number" ? builtin : enums.BuiltinOperator.indexOf(builtin);
      table.push({
        deprecated_builtin_code: Math.min(number, 127),
        builtin_code: builtin,
        version,
        ...(custom === undefined ? {} : { custom_code: custom }),
      });
      index.set(key, table.length - 1);
      return table.length - 1;
    },
  };
}
