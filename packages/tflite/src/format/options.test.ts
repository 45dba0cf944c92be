import { expect, test } from "vitest";
import { type BuiltinOperator, optionsTableOf } from "./options.ts";
import { enums, unions } from "./schema.gen.ts";

test("every table of options belongs to an operator", () => {
  const used = new Set(enums.BuiltinOperator.map((op: BuiltinOperator) => optionsTableOf(op)?.table));
  expect([...unions.BuiltinOptions, ...unions.BuiltinOptions2].filter((t) => !used.has(t))).toEqual([]);
});
