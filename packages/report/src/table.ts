import { formatUnit, shortNumber, type Unit } from "./units.ts";

/** What stands in a cell; undefined is an empty one. */
export type Cell = string | number | boolean | undefined;

export interface Column {
  /** The key of its cells in a row. */
  readonly key: string;
  /** Its heading; by default the key. */
  readonly title?: string;
  /** How numbers are written; columns with a unit are aligned right. */
  readonly unit?: Unit;
  readonly align?: "left" | "right";
  /** Longest text in characters; longer ones are shortened in the middle. Text output only. */
  readonly width?: number;
}

export type Row = Readonly<Record<string, Cell>>;

/** Rows under columns: one table for the terminal, Markdown, HTML and JSON. */
export interface Table {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/**
 * A table. Columns may be given as their keys. Rows are any objects that have cells under them; what else they have is left out.
 * @example textTable(table(["name", { key: "size", unit: "bytes" }], [{ name: "w", size: 4096 }]))
 */
export function table(columns: readonly (string | Column)[], rows: readonly object[]): Table {
  const full = columns.map((c) => (typeof c === "string" ? { key: c } : c));
  const picked = (row: object): Row =>
    Object.fromEntries(
      full.map(({ key }) => [key, Object.hasOwn(row, key) ? toCell(row[key as keyof typeof row]) : undefined]),
    );
  return { columns: full, rows: rows.map(picked) };
}

const toCell = (v: unknown): Cell =>
  v === undefined || v === null
    ? undefined
    : typeof v === "number" || typeof v === "string" || typeof v === "boolean"
      ? v
      : String(v);

/** A cell as people read it. */
export function cellText(cell: Cell, column: Column): string {
  if (cell === undefined) return "";
  if (typeof cell === "number") return column.unit ? formatUnit(cell, column.unit) : shortNumber(cell);
  return typeof cell === "boolean" ? (cell ? "yes" : "no") : oneLine(cell);
}

/** Whether a column is aligned right: numbers are. */
export const alignedRight = ({ rows }: Table, column: Column): boolean =>
  column.align
    ? column.align === "right"
    : column.unit !== undefined ||
      (rows.some((r) => typeof r[column.key] === "number") && rows.every((r) => typeof r[column.key] !== "string"));

/** Aligned plain text, without a line's trailing spaces. */
export function textTable(whole: Table, { indent = "" }: { readonly indent?: string } = {}): string {
  // A column without a heading is there for a note now and then.
  const empty = (c: Column) => c.title === "" && whole.rows.every((r) => cellText(r[c.key], c) === "");
  const t = { ...whole, columns: whole.columns.filter((c) => !empty(c)) };
  const cells = t.rows.map((row) => t.columns.map((c) => shorten(cellText(row[c.key], c), c.width)));
  const heads = t.columns.map((c) => c.title ?? c.key);
  const widths = heads.map((h, i) => Math.max(widthOf(h), ...cells.map((row) => widthOf(row[i]!))));
  const right = t.columns.map((c) => alignedRight(t, c));
  const line = (row: readonly string[]) =>
    indent +
    row
      .map((text, i) => pad(text, widths[i]!, right[i]!))
      .join("  ")
      .trimEnd();
  const rule = indent + widths.map((w) => "-".repeat(w)).join("  ");
  return [line(heads), rule, ...cells.map(line)].join("\n");
}

/** GitHub's Markdown. */
export function markdownTable(t: Table): string {
  const escaped = (s: string) => s.replace(/[\\|`*_<>[\]]/g, "\\$&");
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  return [
    line(t.columns.map((c) => escaped(c.title ?? c.key))),
    line(t.columns.map((c) => (alignedRight(t, c) ? "--:" : "---"))),
    ...t.rows.map((row) => line(t.columns.map((c) => escaped(cellText(row[c.key], c))))),
  ].join("\n");
}

/** Rows as JSON objects with the numbers as they are; what JSON cannot say (infinite, NaN) is null. */
export const jsonRows = (t: Table): Record<string, string | number | boolean | null>[] =>
  t.rows.map((row) => Object.fromEntries(t.columns.map((c) => [c.key, jsonCell(row[c.key])])));

const jsonCell = (cell: Cell) => (typeof cell === "number" && !Number.isFinite(cell) ? null : (cell ?? null));

/** Names come from files: control characters would move the cursor, or worse. */
export const oneLine = (s: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  s.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** Characters that terminals draw two cells wide: CJK, Hangul, full-width forms, most emoji. */
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]|[\u{20000}-\u{3fffd}]/u;
const widthOf = (s: string): number => {
  let n = 0;
  for (const c of s) n += wide.test(c) ? 2 : 1;
  return n;
};
const pad = (s: string, width: number, right: boolean) => {
  const space = " ".repeat(Math.max(0, width - widthOf(s)));
  return right ? space + s : s + space;
};

/** `a/very/long/name` as `a/ver…name` when it is longer than `width`: the ends of a name tell most. */
export function shorten(s: string, width = Number.POSITIVE_INFINITY): string {
  if (s.length <= width) return s;
  const head = Math.ceil((width - 1) / 2);
  return `${s.slice(0, head)}…${s.slice(s.length - (width - 1 - head))}`;
}
