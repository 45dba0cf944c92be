import { bars, errors, histogram } from "./html-charts.ts";
import { figures, passes, pictures, tableSection, text } from "./html-sections.ts";
import { style } from "./html-style.ts";
import { html, type Markup } from "./markup.ts";
import type { Section } from "./sections.ts";

export interface PageOptions {
  readonly title: string;
  /** One sentence under the title. */
  readonly subtitle?: string;
  readonly sections: readonly Section[];
  /** BCP 47; default `en`. */
  readonly language?: string;
}

/**
 * One HTML page that needs nothing else: styles and drawings inside, no script, light and dark, readable on a phone. Names come
 * from models that are not trusted: all of it is escaped, and the page forbids scripts and the network.
 * @throws PareError `report/picture` for a picture that is not a `data:image/` URI
 */
export function htmlReport({ title, subtitle, sections, language = "en" }: PageOptions): string {
  const chapters = sections.flatMap((s, i) => (s.kind === "heading" ? [{ title: s.title, id: `s${i}` }] : []));
  return html`<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${{ markup: style }}</style>
</head>
<body>
<main>
<header class="page"><h1>${title}</h1>${subtitle !== undefined && html`<p>${subtitle}</p>`}${
    chapters.length > 1 &&
    html`<nav aria-label="Contents"><ul>${chapters.map((c) => html`<li><a href="#${c.id}">${c.title}</a></li>`)}</ul></nav>`
  }</header>
${sections.map((s, i) => html`${sectionMarkup(s, `s${i}`)}\n`)}</main>
</body>
</html>
`.markup;
}

function sectionMarkup(s: Section, id: string): Markup {
  if (s.kind === "heading")
    return html`<h2 class="chapter" id="${id}">${s.title}</h2>${s.text !== undefined && html`<p class="lead">${s.text}</p>`}`;
  const title = s.title;
  return html`<section class="${s.kind}"${title !== undefined && html` aria-labelledby="${id}"`}>${
    title !== undefined && html`<h3 id="${id}">${title}</h3>`
  }${"note" in s && s.note !== undefined && html`<p class="note">${s.note}</p>`}${body(s)}</section>`;
}

function body(s: Exclude<Section, { kind: "heading" }>): Markup {
  switch (s.kind) {
    case "text":
      return text(s);
    case "figures":
      return figures(s);
    case "table":
      return tableSection(s);
    case "bars":
      return bars(s);
    case "errors":
      return errors(s);
    case "histogram":
      return histogram(s);
    case "pictures":
      return pictures(s);
    case "passes":
      return passes(s);
    default:
      return s satisfies never;
  }
}
