import type { Comparison } from "./compare.ts";
import type { MeasuredPass } from "./measure-report.ts";
import type { Table } from "./table.ts";
import type { Unit } from "./units.ts";

interface Titled {
  readonly title?: string;
  /** A sentence under the title: what to see here. */
  readonly note?: string;
}

/** A chapter, with a link at the top of the page. */
export interface HeadingSection {
  readonly kind: "heading";
  readonly title: string;
  readonly text?: string;
}

export interface TextSection extends Titled {
  readonly kind: "text";
  /** Paragraphs. */
  readonly text: string | readonly string[];
}

/** A few numbers in large type. */
export interface FiguresSection extends Titled {
  readonly kind: "figures";
  readonly items: readonly {
    readonly label: string;
    readonly value: string;
    readonly note?: string;
    readonly tone?: "good" | "bad";
  }[];
}

export interface TableSection extends Titled {
  readonly kind: "table";
  readonly table: Table;
}

/** Bars from zero, in groups: sizes of versions of models, latencies. */
export interface BarsSection extends Titled {
  readonly kind: "bars";
  readonly unit: Unit;
  /** What the bars of a group are, in order: `source`, `float16`, `int8`. */
  readonly series: readonly string[];
  readonly groups: readonly {
    readonly label: string;
    /** One for each of `series`; undefined where there is none. */
    readonly values: readonly (number | undefined)[];
    /** Words behind the bars' values: `3.9x smaller`. */
    readonly notes?: readonly (string | undefined)[];
  }[];
  /** Groups have a scale each, when their sizes are far apart. Default: one scale for all. */
  readonly scale?: "common" | "group";
}

/** The error of each value: along the graph, and the worst ranked. */
export interface ErrorsSection extends Titled {
  readonly kind: "errors";
  readonly comparison: Comparison;
  /** How many of the worst are listed. Default 15. */
  readonly limit?: number;
}

/** How values are distributed; several series over one axis. */
export interface HistogramSection extends Titled {
  readonly kind: "histogram";
  readonly series: readonly {
    readonly label: string;
    /** Counts of bins of equal width from `from` to `to`. */
    readonly counts: readonly number[];
    readonly from: number;
    readonly to: number;
  }[];
  /** Heights by logarithm, when small counts matter. */
  readonly log?: boolean;
}

export interface Picture {
  /** A `data:image/…` URI. */
  readonly src: string;
  /** What it shows, for those who cannot see it. */
  readonly alt: string;
  readonly caption?: string;
  /** What each model read or decided; what differs from the first is highlighted. */
  readonly readings?: readonly { readonly label: string; readonly text: string }[];
}

/** Pictures with what models made of them. */
export interface PicturesSection extends Titled {
  readonly kind: "pictures";
  readonly pictures: readonly Picture[];
}

/** What each pass did, and what it left alone and why. */
export interface PassesSection extends Titled {
  readonly kind: "passes";
  readonly passes: readonly MeasuredPass[];
}

/** A part of a page, as data. */
export type Section =
  | HeadingSection
  | TextSection
  | FiguresSection
  | TableSection
  | BarsSection
  | ErrorsSection
  | HistogramSection
  | PicturesSection
  | PassesSection;
