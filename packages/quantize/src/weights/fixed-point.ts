import {
  type Chunks,
  definePass,
  deriveTensor,
  edit,
  elementsOf,
  PASS_API_VERSION,
  type Tensor,
  tensor,
  type Weight,
} from "@pare/core";
import { type CodeFormat, codeFormats, fixedStatistics, toCodes } from "@pare/ops/kernels";
import { weightCandidates } from "@pare/ops/weights";
import * as z from "zod";
import { scopeOptions } from "../options.ts";
import { storeCodes } from "./encode.ts";
import { layoutOf } from "./layout.ts";

const formats = Object.keys(codeFormats) as CodeFormat[];

/**
 * Rounds weights to fixed point: `Q(w) = round(w * 2^bits) * 2^-bits`, ties to even. They are stored as the smallest
 * integer codes that hold all of a tensor's, behind a DequantizeLinear of scale `2^-bits`; with `width` given, codes
 * beyond it saturate, and the report counts them. Reads the weights when it runs, to know their codes.
 */
export const fixedPoint = definePass({
  name: "fixed-point",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  options: z.strictObject({
    bits: z.int().min(0).max(30).describe("bits after the binary point"),
    width: z
      .enum(["auto", "int4", "int8", "int16", "int32"])
      .default("auto")
      .describe("format of the codes; auto is the smallest that holds a tensor's"),
    ...scopeOptions,
  }),
  async run(model, options, ctx) {
    const { bits } = options;
    const found = [...weightCandidates(model, options, ctx)];
    const measured: { weight: Weight; source: Tensor<"float32">; codes: Codes }[] = [];
    for (const [i, { weight, tensor: source }] of found.entries()) {
      ctx.progress(i, found.length);
      const codes = await codesOf(elementsOf(source, ctx.signal), bits, options.width);
      if (codes.notFinite > 0) ctx.skip(weight, `holds ${codes.notFinite} values that are not finite`);
      else if (options.width === "auto" && codes.format === "int32")
        ctx.skip(weight, `its largest code, ${codes.largest}, takes 32 bits: nothing would get smaller`);
      else measured.push({ weight, source, codes });
    }
    const granularity = { kind: "tensor" } as const;
    return edit(model, (e) => {
      for (const { weight, source, codes } of measured) {
        const { format, saturated, signal, noise } = codes;
        const layout = layoutOf(source.shape, granularity);
        const affine = { scale: new Float32Array([2 ** -bits]), zeroPoint: new Int32Array(1) };
        const stored = deriveTensor(source, {
          key: `fixed@1:${bits},${format}`,
          dtype: format,
          map: (data, _, start) => toCodes(format, data, layout.runs(start, data.length), affine),
        });
        const scale = tensor("float32", [], affine.scale);
        storeCodes(e, weight, { codes: stored, scale }, granularity);
        ctx.done(weight, { format, saturated, sqnrDb: 10 * Math.log10(signal / noise) });
        if (saturated > 0)
          ctx.diagnose({
            code: "quantize/saturated",
            severity: "warning",
            message: `${saturated} codes of ${weight.name} do not fit ${format} and were cut`,
            hint: "Use fewer bits or a wider format.",
            location: { value: weight.name },
          });
      }
    });
  },
});

interface Codes {
  readonly format: CodeFormat;
  /** Largest magnitude among the codes before saturation. */
  readonly largest: number;
  readonly saturated: number;
  readonly notFinite: number;
  /** Sums of squares of the values and of what rounding alone changes. */
  readonly signal: number;
  readonly noise: number;
}

async function codesOf(chunks: Chunks<"float32">, bits: number, width: CodeFormat | "auto"): Promise<Codes> {
  const limits = codeFormats[width === "auto" ? "int32" : width];
  const sum = { least: 0, largest: 0, saturated: 0, notFinite: 0, signal: 0, noise: 0 };
  for await (const { data } of chunks) {
    const piece = fixedStatistics(data, 2 ** bits, limits.min, limits.max);
    sum.least = Math.min(sum.least, piece.least);
    sum.largest = Math.max(sum.largest, piece.largest);
    sum.saturated += piece.beyond;
    sum.notFinite += piece.notFinite;
    sum.signal += piece.signal;
    sum.noise += piece.noise;
  }
  const fits = formats.find((f) => codeFormats[f].min <= sum.least && sum.largest <= codeFormats[f].max) ?? "int32";
  return { ...sum, format: width === "auto" ? fits : width, largest: Math.max(-sum.least, sum.largest) };
}
