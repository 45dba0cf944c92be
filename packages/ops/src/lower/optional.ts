import { tensor } from "@pare/core";
import type { Builder, Lower } from "./builder.ts";

const isOptional = (b: Builder, value: string): boolean =>
  (b.typeOf(value)?.kind ?? b.refuse(`the type of ${value} is not known`)) === "optional";

/** Only an optional could be asked; what is no optional has an element, and what is left out has none. */
export const hasElement: Lower = (b) => {
  const x = b.input(0);
  if (x !== undefined && isOptional(b, x)) return b.keep({});
  b.give("Identity", [b.constant(tensor("bool", [], [x === undefined ? 0 : 1]))]);
};

export const getElement: Lower = (b) => {
  const x = b.input(0)!;
  if (isOptional(b, x)) b.keep({});
  else b.give("Identity", [x]);
};
