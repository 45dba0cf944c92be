import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { memorySource, resident } from "@pare/core";
import { decode, type Message, readDocument, readTensor } from "@pare/onnx";
import type { AnyValue } from "@pare/ops/evaluate";
import { filesOfTar } from "./tar.ts";

/** One backend node test of ONNX: a model, and what goes in and comes out. */
export interface NodeTest {
  readonly name: string;
  readonly model: Uint8Array;
  /** `input_0.pb`, `output_0.pb`, …: the recorded values, encoded. */
  readonly recorded: ReadonlyMap<string, Uint8Array>;
  /** Its answer is drawn anew at each run. */
  readonly random: boolean;
}

/** The 1,765 node tests of onnx 1.22, by name; with `quick` every tenth. */
export function readNodeTests(ctx: { readonly data: string; readonly quick: boolean }): readonly NodeTest[] {
  const archive = gunzipSync(readFileSync(join(ctx.data, "data", "onnx-node-tests-1.22.tar.gz")));
  const tests = new Map<string, Map<string, Uint8Array>>();
  for (const { path, bytes } of filesOfTar(archive)) {
    // `…/test_abs/model.onnx` and `…/test_abs/test_data_set_0/input_0.pb`
    const [, name, file] = /\/(test_[^/]*)\/(?:test_data_set_0\/)?([^/]*)$/.exec(`/${path}`) ?? [];
    if (name && file) tests.set(name, (tests.get(name) ?? new Map<string, Uint8Array>()).set(file, bytes));
  }
  return [...tests]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter((_, i) => !ctx.quick || i % 10 === 0)
    .map(([name, files]) => ({
      name,
      model: files.get("model.onnx")!,
      recorded: files,
      random: /^test_(bernoulli|multinomial|random|training_dropout)/.test(name),
    }));
}

/** What went into a test and came out of it, by the names of the model's inputs and outputs, in their order. */
export interface RecordedRun {
  readonly inputs: ReadonlyMap<string, AnyValue>;
  readonly outputs: ReadonlyMap<string, AnyValue>;
}

export async function recordedRun(test: NodeTest): Promise<RecordedRun> {
  const { graph } = await readDocument(memorySource(test.model));
  const constants = new Set(graph?.initializer?.map((t) => t.name));
  const read = async (kind: "input" | "output", infos: readonly Message<"ValueInfoProto">[]) => {
    const values = new Map<string, AnyValue>();
    for (const [i, { name, type }] of infos.entries()) {
      const bytes = test.recorded.get(`${kind}_${i}.pb`);
      if (bytes) values.set(name!, await recordedValue(bytes, type));
    }
    return values;
  };
  return {
    inputs: await read(
      "input",
      (graph?.input ?? []).filter((v) => !constants.has(v.name)),
    ),
    outputs: await read("output", graph?.output ?? []),
  };
}

async function recordedValue(bytes: Uint8Array, type: Message<"TypeProto"> | undefined): Promise<AnyValue> {
  const source = memorySource(bytes);
  if (type?.sequence_type) return sequence(await decode(source, "SequenceProto"));
  if (type?.optional_type) return optional(await decode(source, "OptionalProto"));
  return resident(readTensor(await decode(source, "TensorProto")));
}

const sequence = async (s: Message<"SequenceProto">): Promise<AnyValue> => [
  ...(await Promise.all((s.tensor_values ?? []).map((t) => resident(readTensor(t))))),
  ...(await Promise.all((s.sequence_values ?? []).map(sequence))),
  ...(await Promise.all((s.optional_values ?? []).map(optional))),
];

async function optional(o: Message<"OptionalProto">): Promise<AnyValue> {
  if (o.tensor_value) return resident(readTensor(o.tensor_value));
  if (o.sequence_value) return sequence(o.sequence_value);
  return o.optional_value ? optional(o.optional_value) : null;
}
