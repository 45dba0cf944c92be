import { type Attribute, attr, type Dim, graph, IR_OPSET, node, type Tensor, tensor, viewOf } from "@pare/core";
import { expect, test } from "vitest";
import { inferTypes } from "../infer.ts";
import { operatorNames, schemaOf } from "../schema.ts";
import { made, outputs } from "../test/models.ts";
import { hasRule } from "./visit.ts";

const ints = (...data: number[]) => tensor("int64", [data.length], data);

test("has a rule for every operator", () => {
  const missing = operatorNames().filter((op) => !hasRule(node(op, [], [])));
  expect(missing).toEqual([]);
});

test("never throws, whatever a model says", () => {
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  const thrown: string[] = [];
  const dims: Dim[] = [0, 1, 2, 3, -1, null, "N", "2*N+1", "a b", "((", 2 ** 53];
  const numbers = [-(2 ** 63), -7, -1, 0, 1, 2, 5, 2 ** 31, 2 ** 62];
  for (const op of operatorNames())
    for (let round = 0; round < 20; round++) {
      const schema = schemaOf(op, IR_OPSET)!;
      const attributes = new Map<string, Attribute>();
      for (const a of schema.attributes.values()) {
        if (random(3) === 0) continue;
        if (a.type === "int") attributes.set(a.name, attr.int(pick(numbers)));
        else if (a.type === "ints")
          attributes.set(a.name, attr.ints(Array.from({ length: random(5) }, () => pick(numbers))));
        else if (a.type === "string")
          attributes.set(a.name, attr.string(pick(["", "SAME_LOWER", "...ij->", "a,,b->zz", "i...,...->"])));
        else if (a.type === "graph")
          attributes.set(a.name, attr.graph(graph({ inputs: outputs("q"), nodes: [], outputs: outputs("q", "w0") })));
      }
      const inputs: Record<string, Dim[]> = {};
      const weights: Record<string, Tensor> = {};
      const order = Array.from({ length: random(6) }, (_, i) => {
        if (random(2)) inputs[`x${i}`] = Array.from({ length: random(5) }, () => pick(dims));
        else weights[`w${i}`] = ints(...Array.from({ length: random(4) }, () => pick(numbers)));
        return random(8) ? `${`x${i}` in inputs ? "x" : "w"}${i}` : "";
      });
      const m = made(
        inputs,
        weights,
        [node(op, order, ["y", "z", "u"], attributes)],
        pick(["float32", "int64", "bool"]),
      );
      try {
        inferTypes(m).reason(viewOf(m).main, "y");
      } catch (error) {
        thrown.push(`${op}: ${error}`);
      }
    }
  expect(thrown).toEqual([]);
});
