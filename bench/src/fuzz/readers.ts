import { readFile } from "node:fs/promises";
import { memorySource, run, verify } from "@pare/core";
import { memorySink, readIdx, readNpy } from "@pare/io";
import { openOnnx, readDocument, writeDocument, writeOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { drawFrom, modelFromTape } from "@pare/testing";
import {
  fromCore,
  modelBytes,
  readModel,
  readDocument as readTflite,
  type TfliteDocument,
  toCore,
  writeDocument as writeTflite,
} from "@pare/tflite";
import { readNodeTests } from "../node-tests.ts";
import { realModels } from "../real-models.ts";
import { tfliteFiles } from "../tflite-files.ts";

/** A file that mutants are made of. */
export interface Seed {
  readonly name: string;
  readonly bytes: () => Promise<Uint8Array>;
  /** The node test that it is of, whose inputs show whether results are right. */
  readonly test?: string;
}

/** Something that reads files of strangers. */
export interface Reader {
  readonly name: string;
  readonly extension: string;
  /** Common ones are drawn 30 times as often as rare ones, which are large. */
  readonly common: readonly Seed[];
  readonly rare: readonly Seed[];
  /** The message that the bytes are of, for changes that know its structure, and back. */
  readonly structure?: {
    decode(bytes: Uint8Array): Promise<object>;
    encode(message: object): Promise<Uint8Array>;
  };
  /**
   * Does all that users do with such a file; gives the file that is written in the end.
   * @throws PareError for a file that is refused; anything else is a defect
   */
  judge(bytes: Uint8Array): Promise<Uint8Array | undefined>;
}

/** The one file that a sink was given. */
async function written(write: (sink: ReturnType<typeof memorySink>) => Promise<unknown>): Promise<Uint8Array> {
  const sink = memorySink();
  await write(sink);
  return sink.files.values().next().value!;
}

const GENERATED = 200;

/** ONNX from import over upgrade and optimize to export, and back in. */
function onnx(data: string): Reader {
  const tests = readNodeTests({ data, quick: false }).filter((t) => !t.random);
  return {
    name: "onnx",
    extension: "onnx",
    common: [
      ...tests.map((t): Seed => ({ name: t.name, bytes: async () => t.model, test: t.name })),
      ...Array.from({ length: GENERATED }, (_, i): Seed => {
        const draw = drawFrom(i);
        const tape = Array.from({ length: 100 }, () => draw(10_000));
        const bytes = () => written((sink) => writeOnnx(modelFromTape(tape, { foreign: i % 2 === 0 }), sink));
        return { name: `generated ${i}`, bytes };
      }),
    ],
    rare: realModels(data).map(
      ({ name, file }): Seed => ({ name, bytes: async () => new Uint8Array(await readFile(file)) }),
    ),
    structure: {
      decode: (bytes) => readDocument(memorySource(bytes)),
      encode: (message) => written((sink) => writeDocument(message, sink, "model.onnx")),
    },
    async judge(bytes) {
      const source = await openOnnx(bytes);
      const { model } = await run(optimize(), source.model);
      // Domains without a version are let in, and what they are is for the runtime to say.
      const problem = verify(model).find((d) => d.code !== "core/no-opset");
      if (problem) throw new Error(`optimize left ${problem.message}`);
      const result = await written((sink) => writeOnnx(model, sink));
      await openOnnx(result);
      return result;
    },
  };
}

/** Bytes from which on a file is rare. */
const LARGE = 100_000;

/** TFLite to the IR and back. */
function tflite(data: string): Reader {
  const files = [...tfliteFiles(data)];
  const seeds = (isLarge: boolean) =>
    files
      .filter((f) => f.bytes.length >= LARGE === isLarge)
      .map(({ name, bytes }): Seed => ({ name, bytes: async () => bytes }));
  return {
    name: "tflite",
    extension: "tflite",
    common: seeds(false),
    rare: seeds(true),
    structure: {
      decode: (bytes) => readTflite(memorySource(bytes)),
      encode: (message) => written((sink) => writeTflite(message as TfliteDocument, sink, "model.tflite")),
    },
    async judge(bytes) {
      const model = toCore(await readModel(memorySource(bytes)));
      verify(model);
      const result = await modelBytes(fromCore(model));
      await readModel(memorySource(result));
      return result;
    },
  };
}

const header = (text: string) => {
  const padded = `${text}${" ".repeat(63 - ((text.length + 10) % 64))}\n`;
  const bytes = new Uint8Array(10 + padded.length);
  bytes.set([0x93, 78, 85, 77, 80, 89, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  return bytes;
};

const npy: Reader = {
  name: "npy",
  extension: "npy",
  common: ["<f4", "|u1", "<i8", ">f8"].map((descr, i) => ({
    name: descr,
    bytes: async () => {
      const head = header(`{'descr': '${descr}', 'fortran_order': ${i % 2 ? "True" : "False"}, 'shape': (3, 4), }`);
      return Uint8Array.from([...head, ...new Uint8Array(12 * Number(descr.slice(2)))]);
    },
  })),
  rare: [],
  judge: async (bytes) => void (await readNpy(memorySource(bytes))),
};

const idx: Reader = {
  name: "idx",
  extension: "idx",
  common: [0x08, 0x0d].map((code) => ({
    name: `type ${code}`,
    bytes: async () => {
      const size = code === 8 ? 1 : 4;
      return Uint8Array.from([0, 0, code, 2, 0, 0, 0, 3, 0, 0, 0, 4, ...new Uint8Array(12 * size)]);
    },
  })),
  rare: [],
  judge: async (bytes) => void (await readIdx(memorySource(bytes))),
};

/** All readers, with the share of mutants that each is given. */
export const readers = (data: string): readonly (readonly [reader: Reader, share: number])[] => [
  [onnx(data), 0.8],
  [tflite(data), 0.1],
  [npy, 0.05],
  [idx, 0.05],
];
