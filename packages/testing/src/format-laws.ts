import {
  type ExportContext,
  type Exporter,
  type Importer,
  isPareError,
  type Model,
  verify,
  viewOf,
  weightsOf,
} from "@pare/core";
import { contentOf } from "./content.ts";
import { expectThat, type Law, law, problemsOf, rejectionOf, within } from "./law.ts";
import { closableSource, memoryFiles } from "./memory-files.ts";
import { lawModels, singleWeightModel } from "./models.ts";
import { hugeTensor } from "./synthetic.ts";

export interface FormatLawOptions {
  /** Models to write, by name; default {@link lawModels}. One that `check` refuses must be refused by `export` too. */
  readonly models?: () => Readonly<Record<string, Model>>;
  /** Milliseconds in which an aborted export must end. Default 1000. */
  readonly patience?: number;
  /** Laws that do not apply, by their name, each with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
}

const MIB = 2 ** 20;

/** Writes a model into memory. */
export async function exportToMemory(exporter: Exporter, m: Model, context: ExportContext = {}) {
  const made = memoryFiles();
  const artifact = await exporter.export(m, made.sink, `model${exporter.extensions[0] ?? ""}`, context);
  return { ...made, artifact };
}

/**
 * The laws of an exporter.
 * @example for (const law of exporterLaws(onnx)) test(law.name, law.run)
 */
export function exporterLaws(
  exporter: Exporter,
  { models = lawModels, patience = 1000, skip = {} }: FormatLawOptions = {},
): Law[] {
  const { format } = exporter;
  const errors = (m: Model) => exporter.check(m).filter((d) => d.severity === "error");
  const writable = () => Object.entries(models()).filter(([, m]) => errors(m).length === 0);
  const rule = (name: string, check: () => Promise<void>) => law(`export ${format}: ${name}`, check, skip[name]);
  return [
    rule("writes what its check lets through, and refuses the rest before the first byte", async () => {
      expectThat(
        writable().length > 0,
        "nothing-written",
        `the check of ${format} refuses all models that the laws are tried on`,
      );
      for (const [label, m] of Object.entries(models())) {
        const problems = errors(m);
        if (problems.length === 0) {
          const { artifact, files, state } = await exportToMemory(exporter, m);
          const sizes = [...files].map(([name, bytes]) => `${name}:${bytes.length}`).sort();
          const said = artifact.files.map((f) => `${f.name}:${f.byteLength}`).sort();
          expectThat(
            state.committed && state.open === 0,
            "not-committed",
            `${label} was not committed, or a file was left open`,
          );
          expectThat(
            `${sizes}` === `${said}`,
            "artifact",
            `the artifact of ${label} lists ${said} where ${sizes} was written`,
          );
          continue;
        }
        expectThat(
          problems.every((d) => d.message !== "" && d.location !== undefined),
          "no-place",
          `a problem of ${label} does not say where it is`,
        );
        const { sink, state } = memoryFiles();
        await problemsOf(
          () => exporter.export(m, sink, "model"),
          "check",
          `${format} wrote ${label}, which its check refuses`,
        );
        expectThat(
          state.written === 0 && !state.committed,
          "check",
          `${format} began to write ${label}, which its check refuses`,
        );
      }
    }),
    rule("writes the same bytes for the same model, and leaves it as it was", async () => {
      for (const [label, m] of writable()) {
        const before = await contentOf(m);
        const [a, b] = [await exportToMemory(exporter, m), await exportToMemory(exporter, m)];
        const same =
          a.files.size === b.files.size && [...a.files].every(([name, bytes]) => equal(bytes, b.files.get(name)));
        expectThat(same, "not-deterministic", `${format} wrote ${label} differently the second time`);
        expectThat((await contentOf(m)) === before, "input-changed", `${format} changed the model ${label}`);
      }
    }),
    rule("leaves nothing when it is aborted before", async () => {
      for (const [, m] of writable().slice(0, 1)) {
        const reason = new Error("aborted before");
        const { sink, files } = memoryFiles();
        const error = await rejectionOf(
          () => exporter.export(m, sink, "model", { signal: AbortSignal.abort(reason) }),
          "abort-ignored",
          `${format} wrote although it was aborted`,
        );
        expectThat(
          error === reason,
          "abort-reason",
          `${format} rejected with ${String(error)}, not the signal's reason`,
        );
        expectThat(files.size === 0, "left-behind", "an aborted export left files");
      }
    }),
    rule("leaves nothing when it is aborted while it writes", async () => {
      const reason = new Error("aborted while writing");
      const controller = new AbortController();
      const { tensor } = hugeTensor(16 * MIB, { delay: 4 * patience, onRead: () => controller.abort(reason) });
      const m = singleWeightModel(tensor);
      if (errors(m).length > 0) return;
      const { sink, files, state } = memoryFiles();
      const work = rejectionOf(
        () => exporter.export(m, sink, "model", { signal: controller.signal }),
        "abort-ignored",
        "an aborted export ended well",
      );
      const error = await within(
        patience,
        "abort-ignored",
        `${format} went on for more than ${patience} ms after it was aborted`,
        work,
      );
      expectThat(error === reason, "abort-reason", `${format} rejected with ${String(error)}, not the signal's reason`);
      expectThat(files.size === 0 && state.aborted, "left-behind", "an aborted export did not abort its sink");
    }),
    rule("leaves nothing when a weight cannot be read", async () => {
      const m = singleWeightModel(hugeTensor(4 * MIB, { budget: MIB }).tensor);
      if (errors(m).length > 0) return;
      const { sink, files, state } = memoryFiles();
      await rejectionOf(
        () => exporter.export(m, sink, "model"),
        "error-ignored",
        `${format} wrote a weight that could not be read`,
      );
      expectThat(files.size === 0 && state.aborted, "left-behind", "a failed export did not abort its sink");
    }),
    rule("writes a large weight in pieces", async () => {
      const { tensor, reads } = hugeTensor(96 * MIB);
      const m = singleWeightModel(tensor);
      if (errors(m).length > 0) return;
      const { sink, state } = memoryFiles({ keep: false });
      await exporter.export(m, sink, "model");
      expectThat(state.written >= tensor.byteLength, "short", "fewer bytes were written than the weight has");
      expectThat(reads.largest <= 16 * MIB, "large-read", `${reads.largest} bytes of a weight were read at once`);
    }),
  ];
}

export interface ImporterLawOptions extends FormatLawOptions {
  /** Writes the files to read. */
  readonly exporter: Exporter;
  /** Damaged variants tried of each file. Default 100. */
  readonly mutants?: number;
}

/** The laws of an importer: what it reads is what was written, and a damaged file is an error that says so. */
export function importerLaws(importer: Importer, options: ImporterLawOptions): Law[] {
  const { exporter, models = lawModels, mutants = 100, skip = {} } = options;
  const writable = () =>
    Object.entries(models()).filter(([, m]) => !exporter.check(m).some((d) => d.severity === "error"));
  const rule = (name: string, check: () => Promise<void>) =>
    law(`import ${importer.format}: ${name}`, check, skip[name]);
  const open = (files: ReadonlyMap<string, Uint8Array>, main: Uint8Array) =>
    importer.import(closableSource(main, "model"), {
      sibling: async (name: string) => {
        const bytes = files.get(name);
        expectThat(bytes !== undefined, "no-file", `there is no file ${name}`);
        return closableSource(bytes, name);
      },
    });
  const written = async (m: Model) => {
    const { files, artifact } = await exportToMemory(exporter, m);
    return { files, main: files.get(artifact.files[0]!.name)! };
  };
  return [
    rule("reads back what was written", async () => {
      for (const [label, m] of writable()) {
        const { files, main } = await written(m);
        const source = await open(files, main);
        expectThat(verify(source.model).length === 0, "malformed", `${label} is not well formed after reading`);
        const again = await exportToMemory(exporter, source.model);
        const same = [...files].every(([name, bytes]) => equal(bytes, again.files.get(name)));
        expectThat(same, "round-trip", `${label} is another file after it was read and written again`);
        await source.close();
      }
    }),
    rule("keeps values, weights and names of the graph", async () => {
      for (const [label, m] of writable()) {
        const { files, main } = await written(m);
        const source = await open(files, main);
        const weights = async (of: Model) =>
          Promise.all(
            [...weightsOf(viewOf(of))].map(async (w) =>
              [w.view.path, w.name, await contentOf(singleWeightModel(w.tensor), { extra: false })].join(" "),
            ),
          );
        const [a, b] = [await weights(m), await weights(source.model)];
        expectThat(`${a.sort()}` === `${b.sort()}`, "round-trip", `${label} has other weights after it was read`);
        const ends = (of: Model) => [...of.graph.inputs, { name: "=>" }, ...of.graph.outputs].map((v) => v.name).join();
        expectThat(
          ends(m) === ends(source.model),
          "round-trip",
          `${label} has other inputs or outputs after it was read`,
        );
        await source.close();
      }
    }),
    rule("rejects with the signal's reason when it is aborted before", async () => {
      for (const [, m] of writable().slice(0, 1)) {
        const { main } = await written(m);
        const reason = new Error("aborted before");
        const error = await rejectionOf(
          () => importer.import(closableSource(main, "model"), { signal: AbortSignal.abort(reason) }),
          "abort-ignored",
          "an aborted import ended well",
        );
        expectThat(error === reason, "abort-reason", `it rejected with ${String(error)}, not the signal's reason`);
      }
    }),
    rule("answers a damaged file with a PareError or a well-formed model", async () => {
      for (const [label, m] of writable()) {
        const { files, main } = await written(m);
        for (let seed = 0; seed < mutants; seed++) {
          const bytes = damaged(main, seed);
          try {
            const source = await open(files, bytes);
            verify(source.model);
            await contentOf(source.model);
            await source.close();
          } catch (error) {
            expectThat(isPareError(error), "crash", `${label} damaged with seed ${seed} gave ${String(error)}`, {
              cause: error,
            });
          }
        }
      }
    }),
  ];
}

/** The file cut short, with bytes overwritten, or with a piece left out. */
function damaged(bytes: Uint8Array, seed: number): Uint8Array {
  let state = seed * 2654435761 + 1;
  const random = (below: number) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) ^ seed;
    return (state >>> 0) % Math.max(1, below);
  };
  const copy = new Uint8Array(bytes);
  switch (seed % 3) {
    case 0:
      return copy.subarray(0, random(copy.length));
    case 1:
      for (let n = 1 + random(8); n > 0; n--) copy[random(copy.length)] = random(256);
      return copy;
    default: {
      const from = random(copy.length);
      const until = Math.min(copy.length, from + 1 + random(16));
      const left = new Uint8Array(copy.length - (until - from));
      left.set(copy.subarray(0, from));
      left.set(copy.subarray(until), from);
      return left;
    }
  }
}

const equal = (a: Uint8Array, b: Uint8Array | undefined): boolean =>
  b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
