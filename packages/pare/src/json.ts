import type { Diagnosis } from "@pare/quantize";
import type { Comparison, ValueComparison } from "@pare/report";
import type { CompressResult } from "./compress.ts";
import type { WithinDrop } from "./within-drop.ts";

/** JSON cannot say infinite: such numbers become null, and `identical` says of a value that nothing differs. */
const finite = (n: number): number | null => (Number.isFinite(n) ? n : null);

const valueJson = ({ sqnrDb, ...v }: ValueComparison) => ({
  ...v,
  sqnrDb: finite(sqnrDb),
  identical: sqnrDb === Number.POSITIVE_INFINITY && v.broken === 0 && v.mismatch === undefined,
});

/** A comparison as JSON. */
export const comparisonJson = ({ values, outputs, jump, ...c }: Comparison) => ({
  ...c,
  outputs: outputs.map(valueJson),
  values: values.map(valueJson),
  ...(jump ? { jump: { ...jump, sqnrDb: finite(jump.sqnrDb), before: finite(jump.before) } } : {}),
});

const searchJson = ({ metric, reference, within, held, formats, sensitivity, trials }: WithinDrop) => ({
  metric,
  reference,
  within,
  held,
  layers: sensitivity.map((s) => ({
    ...s,
    int8Db: finite(s.int8Db),
    ...(s.weightDb === undefined ? {} : { weightDb: finite(s.weightDb) }),
    format: formats.get(s.layer),
  })),
  trials: trials.map((t) => ({ ...t, formats: Object.fromEntries(t.formats) })),
});

const diagnosisJson = ({ layers }: Diagnosis) =>
  layers.map((l) => ({
    ...l,
    aloneDb: finite(l.aloneDb),
    weightDb: finite(l.weightDb),
    accumulatedDb: finite(l.accumulatedDb),
  }));

/** What `compress` did, as JSON; the report's facts that must be measured are left out. */
export const resultJson = (r: CompressResult) => ({
  ...(r.artifact ? { output: r.artifact.path, files: r.artifact.files } : {}),
  bytes: { ...r.bytes, ratio: r.bytes.before / r.bytes.after },
  nodes: r.nodes,
  samples: r.samples,
  ...(r.search ? { search: searchJson(r.search) } : {}),
  ...(r.diagnosis ? { layers: diagnosisJson(r.diagnosis) } : {}),
  ...(r.comparison ? { comparison: comparisonJson(r.comparison) } : {}),
  ...(r.latency ? { latency: r.latency } : {}),
  coverage: r.coverage,
  diagnostics: r.diagnostics,
});
