import { isFloat } from "@pare/core";
import type { Comparison, ValueComparison } from "./compare.ts";
import { html, type Markup } from "./markup.ts";
import type { BarsSection, ErrorsSection, HistogramSection } from "./sections.ts";
import { formatUnit, shortNumber } from "./units.ts";

/** Drawings are stretched to their place and hold no text; text beside them is HTML and keeps its size on a phone. */
const drawing = (title: string, width: number, height: number, content: Markup | readonly Markup[]): Markup =>
  html`<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img"><title>${title}</title>${content}</svg>`;

const legend = (names: readonly string[]): Markup | false =>
  names.length > 1 &&
  html`<ul class="legend" aria-hidden="true">${names.map((name, i) => html`<li class="c${i % COLOURS}"><i></i>${name}</li>`)}</ul>`;

const COLOURS = 10;

export function bars({ unit, series, groups, scale = "common" }: BarsSection): Markup {
  const largest = (list: readonly (number | undefined)[]) => Math.max(0, ...list.map((v) => v ?? 0));
  const all = largest(groups.flatMap((g) => g.values));
  return html`<div class="groups">${groups.map((g) => {
    const top = (scale === "group" ? largest(g.values) : all) || 1;
    return html`<div class="group"><h4>${g.label}</h4><ul>${series.map((name, i) => {
      const value = g.values[i];
      if (value === undefined) return "";
      const width = (100 * Math.max(0, value)) / top;
      return html`<li class="c${i % COLOURS}"><span class="name">${name}</span><svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="10"/><rect class="fill" width="${width.toFixed(2)}" height="10"/></svg><span class="value">${formatUnit(value, unit)}${
        g.notes?.[i] !== undefined && html` <small>${g.notes[i]}</small>`
      }</span></li>`;
    })}</ul></div>`;
  })}</div>`;
}

/** SQNR at which errors start to be seen, and at which they spoil. */
const GOOD_DB = 40;
const BAD_DB = 20;
const quality = (v: ValueComparison): "good" | "fair" | "bad" =>
  v.mismatch !== undefined || v.broken > 0 || v.sqnrDb < BAD_DB ? "bad" : v.sqnrDb < GOOD_DB ? "fair" : "good";

export const errors = ({ comparison: c, limit = 15 }: ErrorsSection): Markup =>
  html`${c.values.length > c.outputs.length && profile(c)}${ranked(c.values.slice(0, limit), c.values.length)}${
    c.notes.length > 0 && html`<ul class="notes">${c.notes.map((n) => html`<li>${n}</li>`)}</ul>`
  }`;

/** SQNR of every value in the order of the graph. */
function profile(c: Comparison): Markup {
  // Shapes and indices are equal in all but broken models.
  const shown = c.values.filter((v) => v.dtypes.some((d) => isFloat(d)) || v.sqnrDb !== Number.POSITIVE_INFINITY);
  const values = shown.toSorted((a, b) => a.position - b.position);
  const highest = Math.max(60, ...values.filter((v) => Number.isFinite(v.sqnrDb)).map((v) => v.sqnrDb));
  const top = Math.ceil((highest + 5) / 20) * 20;
  const level = (dB: number) => 100 * (1 - Math.max(0, Math.min(top, dB)) / top);
  const y = (v: ValueComparison) => level(v.broken > 0 || v.mismatch !== undefined ? 0 : v.sqnrDb);
  const x = (i: number) => (values.length === 1 ? 500 : 6 + (988 * i) / (values.length - 1));
  const at = (i: number) => `${x(i).toFixed(1)} ${y(values[i]!).toFixed(2)}`;
  const steps = Array.from({ length: top / 20 + 1 }, (_, i) => i * 20);
  const jump = values.findIndex((v) => v.name === c.jump?.name);
  const worst = c.values[0]!;
  const title = `SQNR of ${values.length} values in the order of the graph; the worst is ${worst.name} with ${figure(worst)}`;
  const dots = (q: "good" | "fair" | "bad") => {
    const d = values.flatMap((v, i) => (quality(v) === q ? [`M${at(i)}h0`] : [])).join("");
    return d !== "" && html`<path class="dots ${q}" d="${d}"/>`;
  };
  const chart = drawing(title, 1000, 100, [
    html`<rect class="zone good" width="1000" height="${level(GOOD_DB)}"/><rect class="zone fair" y="${level(GOOD_DB)}" width="1000" height="${level(BAD_DB) - level(GOOD_DB)}"/><rect class="zone bad" y="${level(BAD_DB)}" width="1000" height="${100 - level(BAD_DB)}"/>`,
    ...steps.map((s) => html`<path class="rule" d="M0 ${level(s)}H1000"/>`),
    html`${jump >= 0 && html`<path class="jump" d="M${x(jump).toFixed(1)} 0V100"/>`}`,
    html`<path class="line" d="M${values.map((_, i) => at(i)).join("L")}"/>`,
    html`${dots("good")}${dots("fair")}${dots("bad")}`,
  ]);
  const marks = steps.map((s) => html`<span style="top:${level(s).toFixed(1)}%">${s}${s === top && html` dB`}</span>`);
  return html`<div class="plot"><div class="scale" aria-hidden="true">${marks}</div><div class="area">${chart}</div><div class="axis" aria-hidden="true"><span>input</span><span>order of the graph</span><span>output</span></div></div>${
    c.jump &&
    html`<p class="callout">The error first jumps at <b>${c.jump.op} ${c.jump.name}</b>: ${formatUnit(c.jump.sqnrDb, "dB")}, computed from ${
      c.jump.before === Number.POSITIVE_INFINITY
        ? "values that are identical"
        : `values of ${formatUnit(c.jump.before, "dB")}`
    }.</p>`
  }`;
}

function ranked(values: readonly ValueComparison[], total: number): Markup {
  const finite = values.filter((v) => Number.isFinite(v.sqnrDb)).map((v) => v.sqnrDb);
  const top = Math.max(60, ...finite);
  return html`<ol class="ranked" aria-label="${values.length} of ${total} values, worst first">${values.map((v) => {
    // Long bars are large errors: what is missing to the best.
    const lost =
      v.broken > 0 || v.mismatch !== undefined
        ? 1
        : v.sqnrDb === Number.POSITIVE_INFINITY
          ? 0
          : 1 - Math.max(0, v.sqnrDb) / (top * 1.05);
    return html`<li class="${quality(v)}"><span class="name" title="${v.name}">${twoEnds(v.name)}<small>${v.kind === "output" ? "output" : v.op}</small></span><svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="10"/><rect class="fill" width="${(100 * lost).toFixed(1)}" height="10"/></svg><span class="value">${figure(v)}<small>${detail(v)}</small></span></li>`;
  })}</ol>${total > values.length && html`<p class="more">${total - values.length} more are better than these.</p>`}`;
}

/** A name whose middle gives way when there is no room: its ends tell most. */
const twoEnds = (name: string): Markup => {
  const tail = name.length > 24 ? 14 : 0;
  return html`<bdi class="ends"><span>${name.slice(0, name.length - tail)}</span>${tail > 0 && html`<span>${name.slice(-tail)}</span>`}</bdi>`;
};

const figure = (v: ValueComparison): string =>
  v.mismatch !== undefined ? "shape differs" : v.broken > 0 ? `${v.broken} not finite` : formatUnit(v.sqnrDb, "dB");
const detail = (v: ValueComparison): string =>
  v.mismatch ??
  (v.sqnrDb === Number.POSITIVE_INFINITY
    ? ""
    : `worst ${shortNumber(v.maxAbsError)} of ±${shortNumber(Math.max(Math.abs(v.rangeA[0]), Math.abs(v.rangeA[1])))}`);

export function histogram({ series, log = false }: HistogramSection): Markup {
  const from = Math.min(...series.map((s) => s.from));
  const to = Math.max(...series.map((s) => s.to));
  const height = (count: number) => (log ? Math.log10(count + 1) : count);
  const tallest = Math.max(1e-9, ...series.flatMap((s) => s.counts.map(height)));
  const shapes = series.map((s, i) => {
    const step = (s.to - s.from) / s.counts.length;
    const x = (v: number) => ((1000 * (v - from)) / (to - from || 1)).toFixed(1);
    const path = s.counts
      .map((n, k) => `V${(100 - (96 * height(n)) / tallest).toFixed(2)}H${x(s.from + (k + 1) * step)}`)
      .join("");
    return html`<path class="area c${i % COLOURS}" d="M${x(s.from)} 100${path}V100Z"/>`;
  });
  const title = `Distribution from ${shortNumber(from)} to ${shortNumber(to)}: ${series.map((s) => s.label).join(", ")}`;
  return html`${legend(series.map((s) => s.label))}<div class="plot bare"><div class="area">${drawing(title, 1000, 100, shapes)}</div><div class="axis" aria-hidden="true"><span>${shortNumber(from)}</span><span>${shortNumber((from + to) / 2)}</span><span>${shortNumber(to)}</span></div></div>`;
}
