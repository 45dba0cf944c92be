import type { Command } from "commander";
import type { Io } from "../io.ts";

/** A command, of which only name and summary are known until it is called. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ build(command: Command, io: Io, exit: (code: number) => void): void }>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: "inspect",
    summary: "tell what a model is: inputs, operators, parameters, MACs, where the bytes are",
    load: () => import("./inspect.ts"),
  },
  {
    name: "compress",
    summary: "make a model smaller, and prove what came of it",
    load: () => import("./compress.ts"),
  },
  {
    name: "compare",
    summary: "measure how the values of two models differ, and show what changed in the graph",
    load: () => import("./compare.ts"),
  },
  {
    name: "bench",
    summary: "measure how long a model runs, and the memory it takes",
    load: () => import("./bench.ts"),
  },
];
