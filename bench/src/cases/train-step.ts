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

export const trainStep: Benchmark = {
  name: "train-step",
  about: "a step of training (forward, loss, backward, SGD with momentum) at batch 256 on 2 threads, beside PyTorch's",
  async run(ctx) {
    const cases: BenchCase[] = [];
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
      });
    }
    return {
      figures: { worstRatio: Math.max(...cases.map((c) => Number(c["ratio"]))) },
      cases,
      notes: ["torch: as recorded on a quiet machine of this kind, milliseconds"],
    };
  },
};

const round = (v: number) => Math.round(v * 10) / 10;
