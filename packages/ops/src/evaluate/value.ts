import { failure } from "@pare/core";
import type { Nd } from "./array.ts";

/** What a name stands for: an array, a sequence of values, or null for an optional without one. */
export type Value = Nd | readonly Value[] | null;

export const isSequence = (v: Value | undefined): v is readonly Value[] => Array.isArray(v);
export const isArray = (v: Value): v is Nd => v !== null && !isSequence(v);

/** A value that must be an array. @throws PareError `ops/input` */
export function arrayIn(v: Value | undefined): Nd {
  if (v === undefined || !isArray(v)) throw failure("ops/input", "a tensor was expected, and there is none");
  return v;
}

/** A value that must be a sequence. @throws PareError `ops/input` */
export function sequenceIn(v: Value | undefined): readonly Value[] {
  if (!isSequence(v)) throw failure("ops/input", "a sequence was expected, and there is none");
  return v;
}
