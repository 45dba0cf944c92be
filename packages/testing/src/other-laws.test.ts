import {
  dataOf,
  type Exporter,
  failure,
  type Importer,
  isPareError,
  memorySource,
  type ResidentTensor,
  type Runtime,
  type Samples,
  type Store,
  samplesFrom,
  tensor,
  type Values,
  viewOf,
  weightsOf,
} from "@pare/core";
import { parse } from "@pare/core/parse";
import { print } from "@pare/core/print";
import { describe, expect, test } from "vitest";
import { exporterLaws, importerLaws } from "./format-laws.ts";
import type { Law } from "./law.ts";
import { runtimeLaws } from "./runtime-laws.ts";
import { samplesLaws, storeLaws } from "./store-laws.ts";

async function broken(laws: readonly Law[]): Promise<string[]> {
  const found: string[] = [];
  for (const law of laws)
    try {
      await law.run();
    } catch (error) {
      if (!isPareError(error)) throw error;
      found.push(error.code);
    }
  return found;
}

/** The text of `print` as a format: all weights must be in memory. */
const text: Exporter = {
  format: "text",
  extensions: [".txt"],
  check: (m) =>
    [...weightsOf(viewOf(m))]
      .filter((w) => !w.tensor.bytes)
      .map((w) => ({ code: "text/lazy", severity: "error", message: "is not in memory", location: { value: w.name } })),
  async export(m, sink, name, { signal } = {}) {
    try {
      signal?.throwIfAborted();
      if (this.check(m).length > 0) throw failure("text/lazy", "a weight is not in memory");
      const bytes = new TextEncoder().encode(print({ ...m, metadata: new Map() }, { elements: 1e6 }));
      const file = await sink.create(name);
      await file.write(bytes);
      await file.close();
      await sink.commit();
      return { format: "text", files: [{ name, byteLength: bytes.length }], diagnostics: [] };
    } catch (error) {
      await sink.abort();
      throw error;
    }
  },
};
const textIn: Importer = {
  format: "text",
  extensions: [".txt"],
  async import(source, options) {
    const bytes = await source.read({ offset: 0, length: source.byteLength }, options?.signal);
    try {
      const model = parse(new TextDecoder().decode(bytes));
      return { model, format: "text", diagnostics: [], close: () => source.close() };
    } catch (error) {
      if (isPareError(error)) throw error;
      throw failure("text/bad", String(error), { cause: error });
    }
  },
};

describe("an honest format", () => {
  for (const law of exporterLaws(text)) test(law.name, law.run);
  for (const law of importerLaws(textIn, { exporter: text })) test(law.name, law.run);
});

test("formats that break a law are caught", async () => {
  let n = 0;
  const random: Exporter = {
    ...text,
    export: (m, sink, name, o) => text.export({ ...m, opsets: new Map([...m.opsets, ["n", n++]]) }, sink, name, o),
  };
  expect(await broken(exporterLaws(random))).toContain("testing/not-deterministic");
  const careless: Exporter = { ...text, check: () => [] };
  expect(await broken(exporterLaws(careless))).not.toEqual([]);
  const throwing: Importer = {
    ...textIn,
    import: async (source) => {
      const bytes = await source.read({ offset: 0, length: source.byteLength });
      return {
        model: parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
        format: "text",
        diagnostics: [],
        close: async () => {},
      };
    },
  };
  expect(await broken(importerLaws(throwing, { exporter: text }))).toEqual(expect.arrayContaining(["testing/crash"]));
});

/** `Add`, `MatMul` and `Relu` of float32 by hand. */
const tiny: Runtime = {
  name: "tiny",
  version: async () => "1",
  async prepare(m, { signal, taps = [], state = {}, initialState = {} } = {}) {
    signal?.throwIfAborted();
    const kinds = ["Add", "MatMul", "Relu"];
    for (const n of m.graph.nodes)
      if (!kinds.includes(n.op)) throw failure("tiny/operator", `${n.op} is not known`, { location: { node: n.name } });
    let closed = false;
    const held = new Map(Object.entries(initialState));
    return {
      inputs: m.graph.inputs,
      outputs: m.graph.outputs,
      async run(values, options = {}) {
        options.signal?.throwIfAborted();
        if (closed) throw failure("tiny/closed", "the session is closed");
        const scope = new Map<string, ResidentTensor>(m.graph.weights as ReadonlyMap<string, ResidentTensor>);
        for (const v of Object.keys(values))
          if (!m.graph.inputs.some((i) => i.name === v)) throw failure("tiny/input", `there is no input ${v}`);
        for (const { name, type } of m.graph.inputs) {
          const t = values[name] ?? held.get(name);
          const dims = type?.kind === "tensor" ? (type.shape ?? []) : [];
          if (t?.dtype !== "float32" || dims.some((d, i) => typeof d === "number" && d !== t.shape[i]))
            throw failure("tiny/input", `${name} is missing or of another type`);
          scope.set(name, t);
        }
        for (const n of m.graph.nodes) {
          const [a, b] = n.inputs.map((v) => scope.get(v) as ResidentTensor<"float32">);
          scope.set(n.outputs[0]!, compute(n.op, a!, b));
        }
        for (const [output, input] of Object.entries(state)) held.set(input, scope.get(output)!);
        return Object.fromEntries([...m.graph.outputs.map((v) => v.name), ...taps].map((v) => [v, scope.get(v)!]));
      },
      async close() {
        closed = true;
      },
    };
  },
};

function compute(op: string, a: ResidentTensor<"float32">, b?: ResidentTensor<"float32">): ResidentTensor<"float32"> {
  const x = dataOf(a);
  if (op === "Relu")
    return tensor(
      "float32",
      a.shape,
      x.map((v) => Math.max(0, v)),
    );
  const y = dataOf(b!);
  if (op === "Add")
    return tensor(
      "float32",
      a.shape,
      x.map((v, i) => v + y[i]!),
    );
  const [rows, inner, columns] = [a.shape[0]!, a.shape[1]!, b!.shape[1]!];
  const out = Float32Array.from({ length: rows * columns }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += x[Math.floor(at / columns) * inner + k]! * y[k * columns + (at % columns)]!;
    return sum;
  });
  return tensor("float32", [rows, columns], out);
}

describe("an honest runtime", () => {
  for (const law of runtimeLaws(tiny)) test(law.name, law.run);
});

test("runtimes that break a law are caught", async () => {
  const wrapped = (change: (out: Values) => Values): Runtime => ({
    ...tiny,
    prepare: async (m, o) => {
      const s = await tiny.prepare(m, o);
      return { ...s, run: async (values) => change(await s.run(values)) };
    },
  });
  expect(
    await broken(
      runtimeLaws(
        wrapped((out) =>
          Object.fromEntries(
            Object.entries(out).map(([k, t]) => [k, tensor("float32", t.shape, new Float32Array(t.byteLength / 4))]),
          ),
        ),
      ),
    ),
  ).toContain("testing/wrong-answer");
  expect(await broken(runtimeLaws(wrapped((out) => out)))).toEqual(["testing/abort-ignored"]);
});

function memoryStore(): Store {
  const kept = new Map<string, Uint8Array>();
  return {
    async get(key, signal) {
      signal?.throwIfAborted();
      const bytes = kept.get(key);
      return bytes && memorySource(bytes);
    },
    async put(key, bytes, signal) {
      signal?.throwIfAborted();
      const all: number[] = [];
      for await (const part of bytes) all.push(...part);
      kept.set(key, Uint8Array.from(all));
    },
  };
}

const two = samplesFrom([1, 2].map((v) => ({ x: tensor("float32", [1], [v]) })));
describe("honest stores and samples", () => {
  for (const law of storeLaws("memory", memoryStore)) test(law.name, law.run);
  for (const law of samplesLaws("two", two)) test(law.name, law.run);
});

test("stores and samples that break a law are caught", async () => {
  const eager = (): Store => {
    const store = memoryStore();
    return {
      ...store,
      async put(key, bytes) {
        const all: Uint8Array[] = [];
        for await (const part of bytes) {
          all.push(part);
          await store.put(key, all);
        }
      },
    };
  };
  expect(await broken(storeLaws("eager", eager))).toEqual(["testing/store", "testing/abort-ignored"]);
  const iterator = [...(two.open() as Iterable<Values>)][Symbol.iterator]();
  const once: Samples = { count: 2, open: () => ({ [Symbol.iterator]: () => iterator }) };
  expect(await broken(samplesLaws("once", once))).toContain("testing/samples");
  expect(await broken(samplesLaws("miscounted", { ...two, count: 3 }))).toEqual(["testing/samples"]);
});

test("a law that is skipped says why", async () => {
  const [law] = storeLaws("x", memoryStore, { "gives back what was put, under any key": "keys are numbers" });
  expect(law?.name).toContain("skipped: keys are numbers");
  await law?.run();
});
