import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { resident, tensor } from "@pare/core";
import { ort } from "@pare/runtime-ort";
import { crossEntropy, sgd, trainingStep } from "@pare/train";
import type { BenchCase, Benchmark } from "../benchmark.ts";
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

export const trainStep: Benchmark = {
  name: "train-step",
  about: "a step of training (forward, loss, backward, SGD with momentum) at batch 256 on 2 threads, beside PyTorch's",
  async run(ctx) {
    const cases: BenchCase[] = [];
    const torch = await torchHere(ctx.signal);
    for (const [name, make] of Object.entries(trainNetworks)) {
      ctx.progress(name);
      const batch = noise(BATCH);
      const step = trainingStep(make(), {
        loss: crossEntropy({ output: "logits", target: "label" }),
        optimizer: sgd({ momentum: 0.9 }),
        batch,
      });
      const state = Object.fromEntries(
        await Promise.all([...step.initial].map(async ([k, t]) => [k, await resident(t)] as const)),
      );
      const session = await ort().prepare(step.model, {
        state: step.state,
        initialState: state,
        threads: 2,
        signal: ctx.signal,
      });
      const peak = watchMemory(session.pid!);
      const times: number[] = [];
      const rounds = ctx.quick ? 3 : 15;
      for (let i = -3; i < rounds; i++) {
        const start = performance.now();
        const inputs = {
          ...batch,
          [step.rate]: tensor("float32", [], [0.01]),
          [step.step]: tensor("float32", [], [i + 4]),
        };
        await session.run(inputs, { outputs: [step.loss, step.norm], signal: ctx.signal });
        if (i >= 0) times.push(performance.now() - start);
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
        nodes: step.model.graph.nodes.length,
        torch: recorded[name]!,
        ratio: round(ms / recorded[name]!),
        ...(torch && { torchHere: round(torch.ms[name]!), ratioHere: round(ms / torch.ms[name]!) }),
      });
    }
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
      ],
    };
  },
};

const worst = (cases: readonly BenchCase[], of: string) => Math.max(...cases.map((c) => Number(c[of])));
const round = (v: number) => Math.round(v * 10) / 10;
