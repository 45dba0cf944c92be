import * as z from "zod";

const names = z.array(z.string().min(1));

/** The options by which every weight pass is scoped. */
export const scopeOptions = {
  ops: names.optional().describe("operators whose weights are meant, by default all that take weights"),
  include: names.optional().describe("names of weights, * for anything"),
  exclude: names.optional().describe("names of weights to leave alone, * for anything"),
};

/** Operators that are matrix products. */
export const products: readonly string[] = ["MatMul", "Gemm"];
