import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Model, type PrepareOptions, resident, type Session, tensor } from "@pare/core";
import { ort } from "@pare/runtime-ort";
import { tfjs } from "@pare/runtime-tfjs";
import { crossEntropy, sgd, trainingStep } from "@pare/train";
import type { BenchCase, BenchContext, Benchmark } from "../benchmark.ts";
import { watchMemory } from "../memory.ts";
import { noise, trainNetworks } from "../train-networks.ts";

/** PyTorch 2.13, float32, 2 threads, batch 256: recorded in `reference/peers.md`. */
const recorded: Readonly<Record<string, number>> = {
  lenet: 22.5,
  vgg: 77.2,
  resnet8: 118,
  mobilenetv2: 78.2,
  vit: 186.5,
};
const BATCH = 256;
/** Images of a step in TensorFlow.js where no full run is asked for: all of them take minutes. */
const FEW = 16;

interface Torch {
  readonly version: string;
  readonly ms: Readonly<Record<string, number>>;
}

/** PyTorch on this machine, where a Python has it. */
async function torchHere(signal: AbortSignal): Promise<Torch | undefined> {
  const script = fileURLToPath(new URL("../../peers/train-step.py", import.meta.url));
  try {
    const { stdout } = await promisify(execFile)(process.env["PARE_PYTHON"] ?? "python3", [script], { signal });
    return JSON.parse(stdout) as Torch;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** A step of a network made ready: `run` makes one and gives its milliseconds. */
async function stepOf<S extends Session>(
  name: string,
  size: number,
  prepare: (model: Model, options: PrepareOptions) => Promise<S>,
  signal: AbortSignal,
) {
  const batch = noise(size);
  const step = trainingStep(trainNetworks[name]!(), {
    loss: crossEntropy({ output: "logits", target: "label" }),
    optimizer: sgd({ momentum: 0.9 }),
    batch,
  });
  const initialState = Object.fromEntries(
    await Promise.all([...step.initial].map(async ([k, t]) => [k, await resident(t)] as const)),
  );
  const session = await prepare(step.model, { state: step.state, initialState, signal });
  let count = 0;
  async function run(): Promise<number> {
    const start = performance.now();
    const scalars = { [step.rate]: [0.01], [step.step]: [++count] };
    const inputs = Object.fromEntries(Object.entries(scalars).map(([k, v]) => [k, tensor("float32", [], v)]));
    await session.run({ ...batch, ...inputs }, { outputs: [step.loss, step.norm], signal });
    return performance.now() - start;
  }
  return { session, run, nodes: step.model.graph.nodes.length };
}

export const trainStep: Benchmark = {
  name: "train-step",
  about: "a step of training (forward, loss, backward, SGD with momentum) at batch 256 on 2 threads, beside PyTorch's",
  async run(ctx) {
    const cases: BenchCase[] = [];
    const torch = await torchHere(ctx.signal);
    for (const name of Object.keys(trainNetworks)) {
      ctx.progress(name);
      const { session, run, nodes } = await stepOf(
        name,
        BATCH,
        (m, o) => ort().prepare(m, { ...o, threads: 2 }),
        ctx.signal,
      );
      const peak = watchMemory(session.pid!);
      const times: number[] = [];
      const rounds = ctx.quick ? 5 : 30;
      for (let i = -5; i < rounds; i++) {
        const ms = await run();
        if (i >= 0) times.push(ms);
      }
      const peakMB = peak();
      await session.close();
      times.sort((a, b) => a - b);
      const ms = times[times.length >> 1]!;
      cases.push({
        name,
        ms: round(ms),
        fastest: round(times[0]!),
        peakMB: Math.round(peakMB),
        nodes,
        torch: recorded[name]!,
        ratio: round(ms / recorded[name]!),
        ...(torch && { torchHere: round(torch.ms[name]!), ratioHere: round(ms / torch.ms[name]!) }),
        ...(!ctx.quick && { tfjsCpu: Math.round(await inTfjs(name, ctx)) }),
      });
    }
    const scaled = ctx.full ? "" : `; the time of ${FEW} images, times ${BATCH / FEW}`;
    return {
      figures: {
        worstRatio: worst(cases, "ratio"),
        ...(torch && { worstRatioHere: worst(cases, "ratioHere") }),
      },
      cases,
      notes: [
        "torch: as recorded on a quiet machine of this kind, milliseconds",
        torch
          ? `torchHere: PyTorch ${torch.version} before it in this run`
          : "PyTorch is not here to be measured beside it",
        ...(ctx.quick
          ? []
          : [`tfjsCpu: the same step in TensorFlow.js, backend cpu, one thread, milliseconds${scaled}`]),
      ],
    };
  },
};

/** Milliseconds of a step in JavaScript. */
async function inTfjs(name: string, ctx: BenchContext): Promise<number> {
  ctx.progress(`${name} in TensorFlow.js`);
  const size = ctx.full ? BATCH : FEW;
  const { session, run } = await stepOf(name, size, (m, o) => tfjs({ backend: "cpu" }).prepare(m, o), ctx.signal);
  if (!ctx.full) await run();
  const ms = await run();
  await session.close();
  return (ms * BATCH) / size;
}

const worst = (cases: readonly BenchCase[], of: string) => Math.max(...cases.map((c) => Number(c[of])));
const round = (v: number) => Math.round(v * 10) / 10;
