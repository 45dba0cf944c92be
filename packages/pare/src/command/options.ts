import { type Command, InvalidArgumentError, Option } from "commander";

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

export const withCommon = (command: Command): Command =>
  command
    .option("--json", "print one JSON document on stdout")
    .option("-q, --quiet", "no progress and no warnings")
    .option("--debug", "show where in the program an error arose");

export interface SampleOptions {
  readonly samples?: string;
  readonly shape?: ReadonlyMap<string, readonly number[]>;
  readonly threads?: number;
}

/** Options of commands that run models. */
export const withSamples = (command: Command): Command =>
  command
    .option(
      "--samples <path>",
      "inputs: a .npy file, or a folder of them (see the README); without it inputs are made up",
    )
    .option("--shape <input=1,3,224,224>", "shape of a made-up input; once for each", shape)
    .addOption(new Option("--threads <n>", "threads of the engine").argParser(count));

export function count(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("A whole number from 1 is needed.");
  return n;
}

export const fraction = (text: string): number => {
  const n = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(n >= 0 && n <= 1)) throw new InvalidArgumentError("A number from 0 to 1 is needed.");
  return n;
};

export const number = (text: string): number => {
  const n = Number(text);
  if (text.trim() === "" || Number.isNaN(n)) throw new InvalidArgumentError("A number is needed.");
  return n;
};

export function shape(
  text: string,
  before: ReadonlyMap<string, readonly number[]> = new Map(),
): ReadonlyMap<string, readonly number[]> {
  const cut = text.lastIndexOf("=");
  const dims = text
    .slice(cut + 1)
    .split(/[,x]/)
    .filter((d) => d !== "")
    .map(Number);
  if (cut < 1 || dims.some((d) => !Number.isInteger(d) || d < 0))
    throw new InvalidArgumentError("It is written input=1,3,224,224.");
  return new Map([...before, [text.slice(0, cut), dims]]);
}
