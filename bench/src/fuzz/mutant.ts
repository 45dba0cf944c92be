import { byteMutations, type Draw, drawFrom, mutateMessage } from "@pare/testing";
import type { Reader, Seed } from "./readers.ts";

/** Which mutant: the same numbers make the same bytes. */
export interface Recipe {
  readonly reader: number;
  readonly seed: number;
}

export interface Mutant {
  readonly source: Seed;
  /** How it was made: `flip`, `structure`. */
  readonly how: string;
  readonly bytes: Uint8Array;
}

const RARE = 31;

/** Makes a mutant; one in two, where the reader has a structure, by that. */
export async function mutantOf(reader: Reader, seed: number): Promise<Mutant> {
  const draw = drawFrom(seed);
  const from = reader.rare.length > 0 && draw(RARE) === 0 ? reader.rare : reader.common;
  const source = from[draw(from.length)]!;
  const bytes = await source.bytes();
  if (reader.structure && draw(2) === 0) {
    const made = await byStructure(reader, bytes, draw);
    if (made) return { source, how: "structure", bytes: made };
  }
  const kinds = Object.entries(byteMutations);
  const [how, mutate] = kinds[draw(kinds.length)]!;
  return { source, how, bytes: mutate(bytes, draw) };
}

/** Undefined where the changed message cannot be written, since a number does not fit its field or the like. */
async function byStructure({ structure }: Reader, bytes: Uint8Array, draw: Draw): Promise<Uint8Array | undefined> {
  const message = await structure!.decode(bytes);
  mutateMessage(message, draw);
  try {
    return await structure!.encode(message);
  } catch {
    return undefined;
  }
}
