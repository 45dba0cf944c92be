import type { Options } from "tsup";

/** The build that every package shares: ESM and declarations, one file for each entry, nothing of others inlined. */
export const library = (entry: Record<string, string>, more: Options = {}): Options => ({
  entry,
  format: "esm",
  target: "es2022",
  dts: true,
  clean: true,
  sourcemap: true,
  treeshake: true,
  splitting: true,
  ...more,
});
