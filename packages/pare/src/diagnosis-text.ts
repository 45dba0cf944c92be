import type { Diagnosis, Distribution, LayerDiagnosis } from "@pare/quantize";
import { type HistogramSection, type Section, shortNumber, type Table, table, textTable } from "@pare/report";

/** Layers that a text shows, and a page. */
const IN_TEXT = 10;
const ON_PAGE = 40;

const rowOf = ({ layer, op, aloneDb, accumulatedDb, saturation, rangeRatio, biasShift }: LayerDiagnosis) => ({
  layer,
  op,
  alone: aloneDb,
  accumulated: accumulatedDb,
  saturation,
  rangeRatio: rangeRatio === undefined ? undefined : shortNumber(Number(rangeRatio.toPrecision(2))),
  biasShift,
});

const layerTable = (layers: readonly LayerDiagnosis[]): Table =>
  table(
    [
      { key: "layer", width: 40 },
      { key: "op" },
      { key: "alone", title: "SQNR alone", unit: "dB" },
      { key: "accumulated", title: "accumulated", unit: "dB" },
      { key: "saturation", title: "cut", unit: "share" },
      { key: "rangeRatio", title: "range ratio", align: "right" },
      { key: "biasShift", title: "bias shift", unit: "share" },
    ],
    layers.map(rowOf),
  );

const remedies = (layers: readonly LayerDiagnosis[]): string[] =>
  layers.flatMap(({ layer, remedy }) => (remedy ? [`${layer}: ${remedy.text}`] : []));

/** The worst layers, and what to try for each. */
export function diagnosisText({ layers }: Diagnosis): string {
  const worst = layers.slice(0, IN_TEXT);
  const more = layers.length - worst.length;
  return [
    "Layers by what quantizing them alone does to their own output, worst first:",
    textTable(layerTable(worst)),
    ...(more > 0 ? [`and ${more} more, which lose less`] : []),
    ...remedies(worst),
  ].join("\n");
}

export const diagnosisSections = ({ layers, distributions }: Diagnosis): Section[] => [
  {
    kind: "table",
    title: "What quantization did to each layer",
    note: `On the calibration data, worst first${layers.length > ON_PAGE ? `, the worst ${ON_PAGE} of ${layers.length}` : ""}. Alone: this layer is quantized and those before it are not. Cut: share of what it reads outside its codes. Range ratio: widest channel of that over the median one. Bias shift: of the mean of a channel, over the root mean square of its output.`,
    table: layerTable(layers.slice(0, ON_PAGE)),
  },
  ...(remedies(layers.slice(0, IN_TEXT)).length > 0
    ? [{ kind: "text" as const, title: "What to try", text: remedies(layers.slice(0, IN_TEXT)) }]
    : []),
  ...distributions.map(distributionSection),
];

type Histogram = Distribution["before"];
const BARS = 64;

function distributionSection({ layer, before, after }: Distribution): HistogramSection {
  const [a, b] = [extentOf(before), extentOf(after)];
  const [from, to] = [Math.min(a.from, b.from), Math.max(a.to, b.to)];
  const series = (label: string, h: Histogram) => ({ label, counts: barsOf(h, from, to), from, to });
  return {
    kind: "histogram",
    title: `Distribution of ${layer}`,
    note: "Numbers of its output before and after quantization, heights by logarithm.",
    log: true,
    series: [series("before", before), series("after", after)],
  };
}

/** From the first to the last bin that holds something. */
function extentOf({ counts, width }: Histogram): { from: number; to: number } {
  const zero = counts.length / 2;
  const first = counts.findIndex((n) => n > 0);
  if (first < 0) return { from: 0, to: 0 };
  return {
    from: Math.min(0, first - zero) * width,
    to: Math.max(0, counts.findLastIndex((n) => n > 0) + 1 - zero) * width,
  };
}

/** Counts of fewer, equally wide bins, zeros among them; each bin counts by its middle. */
function barsOf({ counts, width, zeros }: Histogram, from: number, to: number): number[] {
  const bars = new Array<number>(BARS).fill(0);
  const add = (x: number, n: number) => {
    const at = to > from ? Math.floor(((x - from) / (to - from)) * BARS) : 0;
    bars[Math.max(0, Math.min(BARS - 1, at))]! += n;
  };
  for (const [i, n] of counts.entries()) if (n > 0) add((i + 0.5 - counts.length / 2) * width, n);
  if (zeros > 0) add(0, zeros);
  return bars;
}
