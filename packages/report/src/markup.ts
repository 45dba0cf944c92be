/** Text that is HTML already. Everything else that goes into {@link html} is escaped. */
export interface Markup {
  readonly markup: string;
}

type Part = Markup | string | number | undefined | false | readonly Part[];

/**
 * HTML from a template; what is put in is escaped unless it is markup itself. Attribute values must be in quotes.
 * @example html`<b title="${name}">${value}</b>`
 */
export const html = (fixed: TemplateStringsArray, ...parts: readonly Part[]): Markup => ({
  markup: fixed.map((text, i) => text + (i < parts.length ? render(parts[i]) : "")).join(""),
});

function render(part: Part): string {
  if (part === undefined || part === false) return "";
  if (typeof part === "number") return String(part);
  if (typeof part === "string") return escapeHtml(part);
  return "markup" in part ? part.markup : part.map(render).join("");
}

const entities: ReadonlyMap<string, string> = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ['"', "&quot;"],
  ["'", "&#39;"],
]);

/** Safe in HTML text and in quoted attributes; control characters and bidirectional overrides become visible. */
export const escapeHtml = (s: string): string =>
  s
    .replace(/[&<>"']/g, (c) => entities.get(c)!)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
