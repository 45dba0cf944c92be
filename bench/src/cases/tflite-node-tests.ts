import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isPareError, type Model, type ResidentTensor } from "@pare/core";
import { openOnnx } from "@pare/onnx";
import type { AnyValue } from "@pare/ops/evaluate";
import { litert } from "@pare/runtime-litert";
import { lowerToTflite, modelBytes, type TfliteGraph } from "@pare/tflite";
import type { BenchCase, BenchContext, Benchmark, BenchResult } from "../benchmark.ts";
import { type NodeTest, readNodeTests, recordedRun } from "../node-tests.ts";
import { tfliteC } from "../tflite-c.ts";
import { type LitertFile, litertFile } from "../tflite-run.ts";
import { difference } from "./evaluate.ts";

/** As the best converter in Python was measured. */
const ATOL = 1e-4;

/** Inputs that real models hold as constants, by operator: shapes, axes, pads, repeats, bounds of slices, modes. */
const frozen: ReadonlyMap<string, readonly number[]> = new Map(
  Object.entries({
    AffineGrid: [1],
    BlackmanWindow: [0],
    CenterCropPad: [1],
    Clip: [1, 2],
    Col2Im: [1, 2],
    ConstantOfShape: [0],
    CumSum: [1],
    DFT: [1, 2],
    Dropout: [1, 2],
    Expand: [1],
    HammingWindow: [0],
    HannWindow: [0],
    MaxUnpool: [2],
    MelWeightMatrix: [0, 1, 2, 3, 4],
    OneHot: [1],
    Pad: [1, 2, 3],
    Range: [0, 1, 2],
    ...Object.fromEntries(
      ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"].map((k) => [
        `Reduce${k}`,
        [1],
      ]),
    ),
    Reshape: [1],
    Resize: [1, 2, 3],
    STFT: [1, 2, 3],
    Slice: [1, 2, 3, 4],
    Split: [1],
    Squeeze: [1],
    Tile: [1],
    TopK: [1],
    Trilu: [1],
    Unsqueeze: [1],
    Upsample: [1],
  }),
);

type Outcome = "right" | "wrong" | "refused" | "notRunning" | "folded";

interface Judged {
  readonly outcome: Outcome;
  readonly why?: string;
  readonly frozen: boolean;
  /** Whether the answer follows from no value of an input: from its shape, or of no elements. */
  readonly isConstant?: boolean;
  /** What TFLite C, the second opinion, gives. */
  readonly second?: Ran;
}

/** What a runtime gave: the recorded answer, another, or none. */
type Ran = { readonly outcome: "right" } | { readonly outcome: "wrong" | "notRunning"; readonly why: string };

async function judge(test: NodeTest, runs: readonly [LitertFile, LitertFile], signal: AbortSignal): Promise<Judged> {
  const { inputs, outputs } = await recordedRun(test);
  const source = await openOnnx(test.model).catch((error: unknown) => error as Error);
  if (source instanceof Error) return { outcome: "refused", why: source.message.split("\n")[0]!, frozen: false };
  const { model, held } = freeze(source.model, inputs);
  const made = { frozen: held.length > 0 };
  let lowered: ReturnType<typeof lowerToTflite>;
  try {
    lowered = lowerToTflite(model, { shapes: shapesOf(inputs) });
  } catch (error) {
    if (!isPareError(error)) throw error;
    return { ...made, outcome: "refused", why: error.diagnostics[0]!.message };
  }
  const bytes = await modelBytes(lowered.model);
  const feeds = [...inputs].filter(([name]) => !held.includes(name)) as [string, ResidentTensor][];
  const ran = async (run: LitertFile): Promise<Ran> => {
    try {
      const got = await run(bytes, Object.fromEntries(feeds), signal);
      for (const [name, recorded] of outputs) {
        const value: AnyValue | undefined = got[name];
        const wrong = value ? difference(value, recorded, ATOL) : "it is missing";
        if (wrong) return { outcome: "wrong", why: `${name}: ${wrong}` };
      }
      return { outcome: "right" };
    } catch (error) {
      if (!isPareError(error)) throw error;
      return { outcome: "notRunning", why: error.diagnostics[0]!.message.split("\n")[0]! };
    }
  };
  const [first, second] = [await ran(runs[0]), await ran(runs[1])];
  const decides = first.outcome === "notRunning" ? second : first;
  const isFolded = decides.outcome === "right" && feeds.length === 0 && held.length > 0;
  const isConstant = decides.outcome === "right" && feeds.length > 0 && !readsInput(lowered.model.graphs[0]!);
  return { ...made, ...decides, ...(isFolded ? { outcome: "folded" } : {}), isConstant, second };
}

const shapesOf = (inputs: ReadonlyMap<string, AnyValue>) =>
  Object.fromEntries([...inputs].flatMap(([name, v]) => (v !== null && "shape" in v ? [[name, v.shape]] : [])));

function readsInput({ inputs, outputs, operators }: TfliteGraph): boolean {
  const reached = new Set(inputs);
  for (const o of operators) if (o.inputs.some((i) => reached.has(i))) for (const i of o.outputs) reached.add(i);
  return outputs.some((i) => reached.has(i));
}

/** The model with the inputs as weights that a real model would hold, and their names. */
function freeze(model: Model, inputs: ReadonlyMap<string, AnyValue>): { model: Model; held: readonly string[] } {
  const { graph } = model;
  const held = [...new Set(graph.nodes.flatMap((n) => (frozen.get(n.op) ?? []).map((i) => n.inputs[i] ?? "")))].filter(
    (name) => inputs.has(name) && graph.inputs.some((v) => v.name === name),
  );
  const weights = new Map(graph.weights);
  for (const name of held) weights.set(name, inputs.get(name) as ResidentTensor);
  const rest = graph.inputs.filter((v) => !held.includes(v.name));
  return { model: { ...model, graph: { ...graph, inputs: rest, weights } }, held };
}

async function tfliteNodeTests(ctx: BenchContext): Promise<BenchResult> {
  const plain = plainTests();
  const tests = readNodeTests(ctx).filter((t) => plain.has(t.name));
  const figures = {
    plain: 0,
    plainRight: 0,
    usable: 0,
    usableRight: 0,
    refused: 0,
    wrong: 0,
    notRunning: 0,
    folded: 0,
    foldedUsable: 0,
    constantUsable: 0,
    frozenRight: 0,
    dynamicRight: 0,
    secondRuns: 0,
    secondDiffers: 0,
  };
  const cases: BenchCase[] = [];
  const folder = await mkdtemp(join(tmpdir(), "pare-tflite-c-"));
  // In this process: a process for each of so many small files takes most of the time.
  const run = await litertFile(litert({ isolate: false }));
  const c = tfliteC(new URL("./tflite-c-child.js", import.meta.url));
  const runC: LitertFile = async (bytes, inputs, signal) => {
    const path = join(folder, "model.tflite");
    await writeFile(path, bytes);
    return c.run(path, inputs, { signal, timeout: 60_000 });
  };
  try {
    for (const [i, test] of tests.entries()) {
      ctx.signal.throwIfAborted();
      if (i % 50 === 0) ctx.progress(`${i} of ${tests.length}`);
      const usable = plain.get(test.name)!;
      const judged = await judge(test, [run.run, runC], ctx.signal);
      const { outcome, second } = judged;
      figures.plain++;
      if (usable) figures.usable++;
      if (second && second.outcome !== "notRunning") figures.secondRuns++;
      if (second?.outcome === "wrong") {
        figures.secondDiffers++;
        cases.push({ name: test.name, what: "second differs", usable: usable ? 1 : 0, why: second.why });
      }
      if (outcome === "folded" && usable) figures.foldedUsable++;
      if (judged.isConstant && usable) figures.constantUsable++;
      if (outcome === "right") {
        figures.plainRight++;
        if (usable) figures.usableRight++;
        if (judged.frozen) figures.frozenRight++;
        else figures.dynamicRight++;
        continue;
      }
      figures[outcome]++;
      cases.push({ name: test.name, what: outcome, usable: usable ? 1 : 0, why: judged.why ?? "" });
    }
  } finally {
    await run.close();
    await c.close();
    await rm(folder, { recursive: true, force: true });
  }
  return {
    figures,
    cases,
    notes: [
      "folded: the recorded answer, but all inputs were frozen, so that nothing is left to feed; not counted as right.",
      "constant, counted as right: the answer follows from no value of an input (EyeLike, reductions of no elements).",
      "second: TFLite C 2.9. It decides where LiteRT cannot run, and is counted beside it otherwise.",
    ],
  };
}

/** The names of the plain tests of opset 13 to 22, and whether TFLite has the types that they need. */
function plainTests(): ReadonlyMap<string, boolean> {
  const list = readFileSync(new URL("../../fixtures/tflite-node-tests.txt", import.meta.url), "utf8");
  const lines = list.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.split(" ")[0]!, line.endsWith(" usable")]));
}

export const tfliteNodeTestsBenchmark: Benchmark = {
  name: "tflite-node-tests",
  about: "ONNX node tests as TFLite in LiteRT, against their recorded outputs",
  run: tfliteNodeTests,
};
