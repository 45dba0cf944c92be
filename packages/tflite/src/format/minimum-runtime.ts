import type { TfliteModel } from "./model.ts";
import { runtimeVersions } from "./runtime-versions.gen.ts";
import { versionOf } from "./versions.ts";

/** The oldest runtime that has all operators of a model in their versions, as far as LiteRT says; "" if it says nothing. */
export function minimumRuntime(model: TfliteModel): string {
  let oldest = "";
  for (const { operators, tensors } of model.graphs)
    for (const op of operators) {
      const known = runtimeVersions[op.code.builtin]?.split(" ")[versionOf(op, tensors) - 1];
      if (known && known !== "-" && isOlder(oldest, known)) oldest = known;
    }
  return oldest;
}

function isOlder(a: string, b: string): boolean {
  if (a === "") return true;
  const [left, right] = [a, b].map((v) => v.split(".").map(Number)) as [number[], number[]];
  const i = left.findIndex((n, at) => n !== right[at]);
  return i >= 0 && left[i]! < right[i]!;
}
