import { attr, dataOf, graph, type Model, model, node, tensor, value, viewOf, weightsOf } from "@pare/core";
import { evaluate } from "@pare/ops/evaluate";
import { describe, expect, test } from "vitest";
import { decodeOnLoad } from "./stored-weights.ts";

const codes = tensor("int8", [2, 3], [-128, -1, 0, 1, 64, 127]);
const x = tensor("float32", [1, 2], [1.5, -0.25]);

/** `y = x . dequantized(w)`; what `change` says differs. */
function stored(change: {
  codes?: ReturnType<typeof tensor>;
  scale?: ReturnType<typeof tensor>;
  zero?: ReturnType<typeof tensor>;
  attributes?: Record<string, ReturnType<typeof attr.int>>;
}): Model {
  const weights = new Map<string, ReturnType<typeof tensor>>([
    ["codes", change.codes ?? codes],
    ["scale", change.scale ?? tensor("float32", [2], [0.1, 3])],
  ]);
  if (change.zero) weights.set("zero", change.zero);
  const attributes = change.attributes ?? { axis: attr.int(0) };
  return model(
    graph({
      inputs: [value("x", "float32", [1, 2])],
      outputs: [value("y", "float32", [1, (change.codes ?? codes).shape[1]!])],
      weights,
      nodes: [
        node("DequantizeLinear", [...weights.keys()], ["w"], attributes, { name: "decode" }),
        node("MatMul", ["x", "w"], ["y"]),
      ],
    }),
  );
}

const operators = (m: Model) => m.graph.nodes.map((n) => n.op);

describe("weights that are decoded when the model is loaded", () => {
  test.each([
    ["a scale for each row", {}],
    ["an axis from behind", { attributes: { axis: attr.int(-2) } }],
    ["a scale for each column", { scale: tensor("float32", [3], [0.1, 3, 7]), attributes: { axis: attr.int(1) } }],
    ["one scale", { scale: tensor("float32", [], [0.3]), attributes: {} }],
    ["zero points", { zero: tensor("int8", [2], [-128, 5]) }],
    ["one zero point", { scale: tensor("float32", [], [0.3]), zero: tensor("int8", [], [-7]) }],
    [
      "blocks",
      {
        codes: tensor("int8", [2, 4], [1, 2, -3, 4, 5, 6, 7, 8]),
        scale: tensor("float32", [2, 2], [1, 2, 3, 4]),
        attributes: { axis: attr.int(1), block_size: attr.int(2) },
      },
    ],
    [
      "blocks of rows with zero points",
      {
        scale: tensor("float32", [1, 3], [0.1, 3, 7]),
        zero: tensor("int8", [1, 3], [1, -2, 3]),
        attributes: { axis: attr.int(0), block_size: attr.int(2) },
      },
    ],
    ["4 bits", { codes: tensor("int4", [2, 3], Uint8Array.of(0x21, 0x83, 0xf7)) }],
    ["16 bits", { codes: tensor("int16", [2, 3], [-32768, -1, 0, 1, 64, 32767]) }],
  ])("have the same values: %s", async (_, change) => {
    const before = stored(change);
    const after = decodeOnLoad(before);
    expect(operators(after)).not.toContain("DequantizeLinear");
    expect(viewOf(after).main.producer("w")?.op).toMatch(/^(Mul|Reshape)$/);
    // Nothing is left behind that no node reads.
    for (const w of weightsOf(viewOf(after))) expect(w.uses, w.name).not.toEqual([]);
    const [want, got] = [await evaluate(before, { x }), await evaluate(after, { x })];
    expect([...dataOf(got["y"]!)]).toEqual([...dataOf(want["y"]!)]);
  });

  test("blocks of 4 bits and blocks that do not fill the axis stay behind DequantizeLinear, and the model is the same object", () => {
    const nibbles = stored({
      codes: tensor("int4", [2, 4], Uint8Array.of(0x21, 0x43, 0x65, 0x87)),
      scale: tensor("float32", [2, 2], [1, 2, 3, 4]),
      attributes: { axis: attr.int(1), block_size: attr.int(2) },
    });
    const short = stored({
      scale: tensor("float32", [2, 2], [1, 2, 3, 4]),
      attributes: { axis: attr.int(1), block_size: attr.int(2) },
    });
    for (const m of [nibbles, short]) expect(decodeOnLoad(m)).toBe(m);
  });

  test("beside quantized activations they stay, for engines fuse them", () => {
    const base = stored({});
    const m = {
      ...base,
      graph: {
        ...base.graph,
        weights: new Map([...base.graph.weights, ["step", tensor("float32", [], [0.1])]]),
        nodes: [
          node("QuantizeLinear", ["x", "step"], ["q"], { output_dtype: attr.int(3) }),
          node("DequantizeLinear", ["q", "step"], ["x2"]),
          ...base.graph.nodes.slice(0, 1),
          node("MatMul", ["x2", "w"], ["y"]),
        ],
      },
    };
    expect(decodeOnLoad(m)).toBe(m);
  });
});
