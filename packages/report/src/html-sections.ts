import { failure, formatDiagnostic } from "@pare/core";
import { differences } from "./differences.ts";
import { html, type Markup } from "./markup.ts";
import type { MeasuredEntry, MeasuredPass } from "./measure-report.ts";
import type { FiguresSection, PassesSection, Picture, PicturesSection, TableSection, TextSection } from "./sections.ts";
import { alignedRight, type Cell, type Column, cellText, table } from "./table.ts";

export const text = ({ text: paragraphs }: TextSection): Markup =>
  html`${(typeof paragraphs === "string" ? [paragraphs] : paragraphs).map((p) => html`<p>${p}</p>`)}`;

export const figures = ({ items }: FiguresSection): Markup =>
  html`<dl>${items.map(
    (f) =>
      html`<div class="${f.tone ?? "plain"}"><dt>${f.label}</dt><dd><b>${f.value}</b>${f.note !== undefined && html`<span>${f.note}</span>`}</dd></div>`,
  )}</dl>`;

export const tableSection = ({ table: t }: Pick<TableSection, "table">): Markup => {
  const right = new Set(t.columns.filter((c) => alignedRight(t, c)));
  const side = (c: Column) => (right.has(c) ? "r" : "l");
  const cell = (c: Column, value: Cell, first: boolean) =>
    first
      ? html`<th scope="row" class="${side(c)}">${cellText(value, c)}</th>`
      : html`<td class="${side(c)}">${cellText(value, c)}</td>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="table"><table><thead><tr>${t.columns.map(
    (c) => html`<th scope="col" class="${side(c)}">${c.title ?? c.key}</th>`,
  )}</tr></thead><tbody>${t.rows.map(
    (row) => html`<tr>${t.columns.map((c, i) => cell(c, row[c.key], i === 0))}</tr>`,
  )}</tbody></table></div>`;
};

export const pictures = ({ pictures: list }: PicturesSection): Markup =>
  html`<div class="grid">${list.map(picture)}</div>`;

function picture(p: Picture): Markup {
  if (!/^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/.test(p.src))
    throw failure("report/picture", `the picture "${p.alt}" is not a data:image/ URI`, {
      hint: "The page must not load anything: encode the picture into the URI.",
    });
  const reference = p.readings?.[0]?.text ?? "";
  const differs = p.readings?.some((r) => r.text !== reference) ?? false;
  return html`<figure class="${differs ? "differs" : "same"}"><img src="${p.src}" alt="${p.alt}" loading="lazy">${
    (p.caption !== undefined || p.readings !== undefined) &&
    html`<figcaption>${p.caption !== undefined && html`<p>${p.caption}</p>`}${
      p.readings &&
      html`<dl>${p.readings.map((r, i) => html`<dt>${r.label}</dt><dd>${i === 0 ? readingText(r.text) : marked(reference, r.text)}</dd>`)}</dl>`
    }</figcaption>`
  }</figure>`;
}

const readingText = (s: string): Markup => (s === "" ? html`<i>nothing</i>` : html`<code>${s}</code>`);

function marked(reference: string, got: string): Markup {
  if (reference === got) return html`${readingText(got)}<span class="ok" title="the same">✓</span>`;
  const parts = differences(reference, got).map((d) =>
    d.kind === "same"
      ? html`${d.text}`
      : d.kind === "added"
        ? html`<ins title="not in the reference">${d.text}</ins>`
        : html`<del title="missing">${d.text}</del>`,
  );
  return html`<code>${parts}</code>${got === "" && html` <i>nothing</i>`}`;
}

export const passes = ({ passes: list }: PassesSection): Markup => html`${list.map(pass)}`;

function pass(p: MeasuredPass): Markup {
  const total = p.done.length + p.skipped.length;
  const share = total === 0 ? 0 : p.done.length / total;
  const options = Object.entries((p.options ?? {}) as Record<string, unknown>).map(
    ([k, v]) => `${k}: ${JSON.stringify(v)}`,
  );
  const reasons = new Map<string, MeasuredEntry[]>();
  for (const s of p.skipped) reasons.set(s.reason ?? "", [...(reasons.get(s.reason ?? "") ?? []), s]);
  const sentence =
    total === 0 ? (p.changed ? "changed the model" : "found nothing to do") : `${p.done.length} of ${total} done`;
  return html`<article><header><h4>${p.pass}</h4><p>${options.join(", ")}</p></header>${
    total > 0 &&
    html`<svg class="meter" viewBox="0 0 100 4" preserveAspectRatio="none" role="img"><title>${sentence}</title><rect class="track" width="100" height="4"/><rect class="fill" width="${share * 100}" height="4"/></svg>`
  }<p class="count"><b>${sentence}</b></p>${
    reasons.size > 0 &&
    html`<ul class="reasons">${[...reasons].map(
      ([reason, sites]) =>
        html`<li><b>${sites.length}</b> left alone: ${reason}<span class="names">${namesOf(sites)}</span></li>`,
    )}</ul>`
  }${p.diagnostics.length > 0 && html`<ul class="diagnostics">${p.diagnostics.map((d) => html`<li class="${d.severity}">${formatDiagnostic(d)}</li>`)}</ul>`}${
    p.done.some((d) => d.facts) &&
    html`<details><summary>What was done to each</summary>${factsTable(p.done)}</details>`
  }</article>`;
}

const namesOf = (sites: readonly MeasuredEntry[]): string => {
  const shown = sites.slice(0, 4).map((s) => s.name);
  return `${shown.join(", ")}${sites.length > 4 ? ` and ${sites.length - 4} more` : ""}`;
};

function factsTable(done: readonly MeasuredEntry[]): Markup {
  const keys = [...new Set(done.flatMap((d) => Object.keys(d.facts ?? {})))];
  const columns = [
    "weight",
    "operators",
    ...keys.map((key) => (/db$/i.test(key) ? { key, unit: "dB" as const } : key)),
  ];
  const rows = done.map((d) => ({ weight: d.name, operators: d.ops.join(", "), ...d.facts }));
  return tableSection({ table: table(columns, rows) });
}
