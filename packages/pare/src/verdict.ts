import type { Diagnostic } from "@pare/core";
import type { Comparison } from "@pare/report";

/** SQNR below which an output counts as far off, and below which it is worth a look. */
export const FAR_OFF_DB = 6;
const WORTH_A_LOOK_DB = 20;

/**
 * What a comparison says of a result: errors where it must not be used (NaN, other shapes, an error half as large as the
 * signal or larger; a warning unless `strict`), warnings where it should be looked at.
 */
export function verdictOf({ outputs, other }: Comparison, minSqnrDb = FAR_OFF_DB, strict = true): Diagnostic[] {
  return outputs.flatMap((v): Diagnostic[] => {
    const found = (severity: Diagnostic["severity"], code: string, message: string, hint: string): Diagnostic[] => [
      { code, severity, message, hint, location: { file: other, value: v.name } },
    ];
    const where = "Find the layer with `pare compare`, and leave it out of the passes.";
    if (v.mismatch !== undefined)
      return found("error", "pare/output-shape", `the output ${v.mismatch}`, "A pass changed what the model computes.");
    if (v.broken > 0)
      return found(
        "error",
        "pare/not-finite",
        `${v.broken} of ${v.elements} elements of the output are NaN or infinite where the source's are not`,
        where,
      );
    const inexact = v.dtypes.some((d) => /float/.test(d));
    if (!inexact)
      return v.equalShare < 0.9
        ? found(
            "warning",
            "pare/disagrees",
            `only ${(100 * v.equalShare).toFixed(1)} % of the output's elements are the source's`,
            where,
          )
        : [];
    if (v.sqnrDb < minSqnrDb)
      return strict
        ? found(
            "error",
            "pare/far-off",
            `the output is far off: SQNR ${v.sqnrDb.toFixed(1)} dB, less than ${minSqnrDb}`,
            where,
          )
        : found(
            "warning",
            "pare/far-off",
            `on made-up inputs the output is far off: SQNR ${v.sqnrDb.toFixed(1)} dB`,
            "Give real inputs with samples before you judge or ship it.",
          );
    return v.sqnrDb < WORTH_A_LOOK_DB
      ? found(
          "warning",
          "pare/inexact",
          `the output has an SQNR of ${v.sqnrDb.toFixed(1)} dB only`,
          "Check your own metric before you ship it.",
        )
      : [];
  });
}
