import { type Section, table } from "@pare/report";
import type { WithinDrop } from "./within-drop.ts";

/** What was tried, and which layers are not what was hoped for. */
export function searchText({ trials, formats, held, metric, sensitivity }: WithinDrop): string {
  const left = sensitivity.filter((s) => formats.get(s.layer) !== "int8").sort((a, b) => a.int8Db - b.int8Db);
  const lines = [
    ...trials.map(
      (t, i) =>
        `trial ${i + 1}: ${formatCounts(t.formats)}: ${metric} falls by ${t.drop!.toFixed(2)} (${t.bound!.toFixed(2)} with 95 % confidence) on ${t.samples} samples${t.accepted ? "" : ", too far"}`,
    ),
    ...left
      .slice(0, 10)
      .map((s) => `${s.layer} (${s.op}) is ${formats.get(s.layer)}: alone in int8 it leaves ${s.int8Db.toFixed(1)} dB`),
    ...(left.length > 10 ? [`and ${left.length - 10} more`] : []),
    `On ${held.samples} samples that were kept back, ${metric} falls by ${held.drop.toFixed(2)} percentage points.`,
  ];
  return lines.join("\n");
}

/** Every trial of a search, with the layers that were not whole int8. */
export const trialsSection = ({ trials, metric, held }: WithinDrop): Section => ({
  kind: "table",
  title: "Trials of the search",
  note: `The drop of ${metric} in percentage points on samples that guide the search. On ${held.samples} samples that were kept back the result falls by ${held.drop.toFixed(2)}.`,
  table: table(
    [
      { key: "trial", align: "right" },
      { key: "formats" },
      { key: "drop", align: "right" },
      { key: "bound", title: "drop, 95 % confidence", align: "right" },
      { key: "samples", align: "right" },
      { key: "verdict" },
    ],
    trials.map((t, i) => ({
      trial: i + 1,
      formats: formatCounts(t.formats),
      drop: t.drop!.toFixed(2),
      bound: t.bound!.toFixed(2),
      samples: t.samples,
      verdict: t.accepted ? "accepted" : "too far",
    })),
  ),
});

/** `12 int8, 3 float16 weights`. */
export function formatCounts(formats: ReadonlyMap<string, string>): string {
  const counts = new Map<string, number>();
  for (const f of formats.values()) counts.set(f, (counts.get(f) ?? 0) + 1);
  return Array.from(counts, ([format, count]) => `${count} ${format}`).join(", ");
}
