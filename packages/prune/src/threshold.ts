import { definePass, deriveTensor, edit, elementsOf, PASS_API_VERSION, type Tensor } from "@pare/core";
import { absSum, countZeros, zeroBelow } from "@pare/ops/kernels";
import { weightCandidates } from "@pare/ops/weights";
import * as z from "zod";

const names = z.array(z.string().min(1));

/**
 * Sets to zero every weight whose magnitude is below `ratio` times the mean magnitude of its tensor. A dense file does
 * not shrink by it: zeros take the same bytes, and only a compressed download or a sparse runtime gains.
 * (Magnitude pruning: Han et al. 2015, arXiv:1506.02626.)
 */
export const threshold = definePass({
  name: "threshold",
  apiVersion: PASS_API_VERSION,
  options: z.strictObject({
    ratio: z.number().min(0).max(100).default(0.1).describe("part of the mean magnitude below which weights become 0"),
    ops: names.optional().describe("operators whose weights are meant, by default all that take weights"),
    include: names.optional().describe("names of weights, * for anything"),
    exclude: names.optional().describe("names of weights to leave alone, * for anything"),
  }),
  run: (model, { ratio, ...scope }, ctx) =>
    edit(model, (e) => {
      for (const { weight, tensor } of weightCandidates(model, scope, ctx)) {
        const pruned = pruneTensor(tensor, ratio);
        e.setWeight(weight, pruned);
        ctx.done(weight, { sparsity: () => sparsityOf(pruned) });
      }
    }),
});

function pruneTensor(source: Tensor<"float32">, ratio: number): Tensor<"float32"> {
  return deriveTensor(source, {
    key: `threshold@1:${ratio}`,
    async prepare(chunks) {
      let sum = 0;
      let count = 0;
      for await (const { data } of chunks) {
        sum += absSum(data);
        count += data.length;
      }
      return count === 0 ? 0 : (ratio * sum) / count;
    },
    map: (data, limit) => zeroBelow(data, limit),
  });
}

/** Share of a tensor's elements that are zero, from 0 to 1. Reads it once. */
export async function sparsityOf(t: Tensor<"float32">, signal?: AbortSignal): Promise<number> {
  let zeros = 0;
  let count = 0;
  for await (const { data } of elementsOf(t, signal)) {
    zeros += countZeros(data);
    count += data.length;
  }
  return count === 0 ? 0 : zeros / count;
}
