import { type Comparison, formatUnit, type MeasuredPass, type Section, sizeOf, table } from "@pare/report";
import type { CompressResult } from "./compress.ts";
import { diagnosisSections } from "./diagnosis-text.ts";
import { trialsSection } from "./search-text.ts";

const worstOutput = (c: Comparison) => c.outputs.toSorted((a, b) => a.sqnrDb - b.sqnrDb)[0];

/** The sections of a page about one compression. */
export function compressSections(r: CompressResult, passes: readonly MeasuredPass[]): Section[] {
  const worst = r.comparison && worstOutput(r.comparison);
  const ratio = r.bytes.before / r.bytes.after;
  const { latency } = r;
  const slower = latency && latency.after.medianMs > 1.1 * latency.before.medianMs;
  const names = [r.comparison?.reference ?? "source", r.comparison?.other ?? "result"];
  return [
    {
      kind: "figures",
      items: [
        {
          label: "Size",
          value: formatUnit(r.bytes.after, "bytes"),
          note: `${formatUnit(ratio, "times")} smaller than ${formatUnit(r.bytes.before, "bytes")}`,
          ...tone(ratio > 1),
        },
        ...(worst
          ? [
              {
                label: "Worst output",
                value: formatUnit(worst.sqnrDb, "dB"),
                note: `SQNR of ${worst.name}, ${r.samples === "synthetic" ? "made-up" : "given"} samples`,
              },
            ]
          : []),
        ...(latency
          ? [
              {
                label: "One run",
                value: formatUnit(latency.after.medianMs, "ms"),
                note: `source ${formatUnit(latency.before.medianMs, "ms")}`,
                ...(slower ? tone(false) : {}),
              },
            ]
          : []),
        { label: "Covered", value: coverageText(r), note: "weights or nodes" },
      ],
    },
    {
      kind: "bars",
      title: "Size",
      unit: "bytes",
      series: names,
      groups: [
        {
          label: "file",
          values: [r.bytes.before, r.bytes.after],
          notes: [undefined, `${formatUnit(ratio, "times")} smaller`],
        },
        ...(r.bytes.gzip ? [{ label: "gzip", values: [r.bytes.gzip.before, r.bytes.gzip.after] }] : []),
      ],
    },
    ...(latency
      ? [
          {
            kind: "bars" as const,
            title: "Time of one run",
            note: "Median on this machine.",
            unit: "ms" as const,
            series: names,
            groups: [{ label: "latency", values: [latency.before.medianMs, latency.after.medianMs] }],
          },
        ]
      : []),
    ...(r.comparison ? comparisonSections(r.comparison, r.samples) : []),
    ...(r.diagnosis ? diagnosisSections(r.diagnosis) : []),
    ...(r.search ? [trialsSection(r.search)] : []),
    { kind: "passes", title: "What each pass did", passes },
    bytesTable(r),
    ...(r.diagnostics.length > 0
      ? [
          {
            kind: "text" as const,
            title: "Worth knowing",
            text: r.diagnostics.map((d) => `${d.severity}: ${d.message}.${d.hint ? ` ${d.hint}` : ""}`),
          },
        ]
      : []),
  ];
}

const tone = (good: boolean) => ({ tone: good ? ("good" as const) : ("bad" as const) });

/** `92 of 95`, over the passes that found anything. */
export const coverageText = (r: Pick<CompressResult, "coverage">): string => {
  const counted = r.coverage.filter((c) => c.total > 0);
  return counted.length === 0 ? "all" : counted.map((c) => `${c.done} of ${c.total}`).join(", ");
};

function bytesTable(r: CompressResult): Section {
  const [before, after] = [sizeOf(r.source), sizeOf(r.model)];
  const rows = [...new Set([...before.byOperator, ...after.byOperator].map((s) => s.name))].map((op) => ({
    op,
    before: before.byOperator.find((s) => s.name === op)?.byteLength ?? 0,
    after: after.byOperator.find((s) => s.name === op)?.byteLength ?? 0,
  }));
  return {
    kind: "table",
    title: "Where the bytes are",
    table: table(
      [
        { key: "op", title: "operator" },
        { key: "before", unit: "bytes" },
        { key: "after", unit: "bytes" },
      ],
      rows,
    ),
  };
}

/** The sections of a page about a comparison. */
export const comparisonSections = (c: Comparison, samples: string): Section[] => [
  {
    kind: "errors",
    title: `Error of ${c.other} against ${c.reference}`,
    note: `Signal to quantization noise over ${c.samples} ${samples === "synthetic" ? "made-up samples: they show whether both compute the same, not how well either works" : "samples"}. Above 40 dB hardly anything is lost; below 20 dB look closely.`,
    comparison: c,
    limit: 20,
  },
];
