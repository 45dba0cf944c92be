/** What a benchmark is given. */
export interface BenchContext {
  /** Folder with `data/` and `models/`. */
  readonly data: string;
  /** Run a part only. */
  readonly quick: boolean;
  /** Run all of a benchmark that otherwise runs a part, as it takes an hour. */
  readonly full: boolean;
  /** Folder of what long runs keep, so that they go on; by default one for temporary files. */
  readonly keep: string | undefined;
  /** Says how far it is, for people. */
  readonly progress: (text: string) => void;
  readonly signal: AbortSignal;
}

/** One row of a benchmark's table. */
export type BenchCase = { readonly name: string } & Readonly<Record<string, string | number>>;

export interface BenchResult {
  /** The numbers that stand for the whole, under the names that are asked for. */
  readonly figures: Readonly<Record<string, number>>;
  readonly cases: readonly BenchCase[];
  /** What a reader must know to understand the numbers. */
  readonly notes?: readonly string[];
}

export interface Benchmark {
  readonly name: string;
  /** One line for the list. */
  readonly about: string;
  run(ctx: BenchContext): Promise<BenchResult>;
}
