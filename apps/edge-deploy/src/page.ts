import { htmlReport, type Section, table } from "@pare/report";
import type { Outcome } from "./deploy.ts";
import type { Answer, Job } from "./jobs.ts";
import type { Image } from "./ocr/image.ts";
import { toPng } from "./ocr/index.ts";

/** The row of a version in the table, the same on the terminal and on the page. */
export const rowOf = (o: Outcome) => ({
  model: o.job.name,
  version: o.version.name,
  bytes: o.bytesAfter,
  ratio: `${(o.bytesBefore / o.bytesAfter).toFixed(2)}x`,
  nodes: `${o.nodesBefore} -> ${o.nodesAfter}`,
  sqnr: o.sqnrDb,
  agreement: `${(100 * o.agreement).toFixed(1)} %`,
  of: o.job.measure,
  before: o.msBefore,
  after: o.msAfter,
  speed:
    o.msAfter > 1.1 * o.msBefore
      ? `${(o.msAfter / o.msBefore).toFixed(1)}x slower`
      : o.msBefore > 1.1 * o.msAfter
        ? `${(o.msBefore / o.msAfter).toFixed(1)}x faster`
        : "same",
  coverage: `${o.covered}/${o.candidates}`,
});

export const summary = (outcomes: readonly Outcome[]) =>
  table(
    [
      { key: "model" },
      { key: "version" },
      { key: "bytes", unit: "bytes" },
      { key: "ratio", align: "right" },
      { key: "nodes", align: "right" },
      { key: "sqnr", title: "SQNR", unit: "dB" },
      { key: "agreement", align: "right" },
      { key: "of", title: "agreement of" },
      { key: "before", title: "source", unit: "ms" },
      { key: "after", title: "now", unit: "ms" },
      { key: "speed" },
      { key: "coverage", align: "right" },
    ],
    outcomes.map(rowOf),
  );

/** A version's time as it were had its source taken as long as beside the first version: the machine is not equally busy all the time. */
function scaledMs(outcomes: readonly Outcome[], version: Outcome["version"]): number | undefined {
  const o = outcomes.find((x) => x.version === version);
  return o && (o.msAfter / o.msBefore) * outcomes[0]!.msBefore;
}

const dataUri = (image: Image) => `data:image/png;base64,${Buffer.from(toPng(image)).toString("base64")}`;

/** The page: sizes, answers, lines with what each version read, error along the graph, coverage. */
export function pageOf(outcomes: readonly Outcome[], sources: ReadonlyMap<Job, readonly Answer[]>): string {
  const jobs = [...sources.keys()];
  const versions = [...new Set(outcomes.map((o) => o.version))];
  const of = (job: Job) => outcomes.filter((o) => o.job === job);
  const sections: Section[] = [
    {
      kind: "heading",
      title: "What was gained",
      text: "Every version was written to a file, and what it holds was run beside its source on the same real inputs: TFLite in LiteRT, all others in ONNX Runtime.",
    },
    {
      kind: "bars",
      title: "Bytes",
      note: "Each model has a scale of its own.",
      unit: "bytes",
      scale: "group",
      series: ["source", ...versions.map((v) => v.name)],
      groups: jobs.map((job) => ({
        label: job.name,
        values: [of(job)[0]?.bytesBefore, ...versions.map((v) => of(job).find((o) => o.version === v)?.bytesAfter)],
      })),
    },
    { kind: "table", title: "All versions", table: summary(outcomes) },
    {
      kind: "bars",
      title: "Milliseconds for one run",
      note: "On this machine's CPU, each version in turns with its source and scaled to the source's time shown. ONNX Runtime has few float16 kernels there and converts around the others.",
      unit: "ms",
      scale: "group",
      series: ["source", ...versions.map((v) => v.name)],
      groups: jobs.map((job) => ({
        label: job.name,
        values: [of(job)[0]?.msBefore, ...versions.map((v) => scaledMs(of(job), v))],
      })),
    },
  ];
  for (const job of jobs.filter((j) => j.images)) {
    const answers = sources.get(job)!;
    sections.push(
      { kind: "heading", title: job.name },
      {
        kind: "pictures",
        note: "What the source answers, and what each version does; differences are marked.",
        pictures: job.images!.slice(0, 12).map((image, i) => ({
          src: dataUri(image),
          alt: `Input ${i + 1} of ${job.name}`,
          readings: [
            { label: "source", text: answers[i]!.text },
            ...of(job).map((o) => ({ label: o.version.name, text: o.answers[i]!.text })),
          ],
        })),
      },
    );
  }
  sections.push({
    kind: "heading",
    title: "Where the error comes from",
    text: "SQNR of every inner value of the main graph that both models have.",
  });
  for (const job of jobs.filter((j) => of(j).some((o) => o.comparison.values.length > 3))) {
    const worst = of(job).find((o) => o.version.inner)!;
    sections.push({
      kind: "errors",
      title: `${job.name}, ${worst.version.name}`,
      comparison: worst.comparison,
      limit: 8,
    });
  }
  const calibrated = outcomes.filter((o) => o.layers.length > 0);
  if (calibrated.length > 0)
    sections.push({
      kind: "heading",
      title: "Integers, layer by layer",
      text: "What was tried, and where numbers are lost.",
    });
  for (const o of calibrated)
    for (const s of o.layers)
      sections.push("title" in s ? ({ ...s, title: `${o.version.name}: ${s.title}` } as Section) : s);
  sections.push({ kind: "heading", title: "What each pass did, and what it left alone" });
  for (const o of outcomes)
    sections.push({ kind: "passes", title: `${o.job.name}, ${o.version.name}`, passes: o.passes });
  return htmlReport({
    title: "Edge deployment of OCR and voice detection",
    subtitle: "PP-OCRv4 and Silero, made smaller by Pare and measured against their sources.",
    sections,
  });
}
