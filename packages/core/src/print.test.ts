import { expect, test } from "vitest";
import { type Attribute, attr, graph, model, node, type Tensor, tensor, value, verify } from "./index.ts";
import { parse } from "./parse.ts";
import { print } from "./print.ts";

const branch = (name: string) =>
  graph({ name, outputs: [{ name: `${name}_o` }], nodes: [node("Neg", ["x"], [`${name}_o`])] });
const attributes: Record<string, Attribute> = {
  f: attr.float(1),
  small: attr.float(1e-7),
  infinite: attr.float(Number.NEGATIVE_INFINITY),
  i: attr.int(-3),
  big: attr.int(2n ** 60n),
  s: attr.string('a "b"\n#c'),
  raw: { type: "string", value: Uint8Array.of(255, 0) },
  t: attr.tensor(tensor("int4", [3], [1, 2, 15])),
  g: attr.graph(branch("1t_")),
  odd: attr.graph(branch("sequence")),
  gs: { type: "graphs", value: [branch("a"), branch("b")] },
  fs: attr.floats([1, 2.5]),
  is: attr.ints([]),
  ss: attr.strings(["x", "y z"]),
  none: { type: "strings", value: [] },
  type: {
    type: "type",
    value: { kind: "sequence", element: { kind: "tensor", dtype: "float16", shape: ["2*N+1", null, 3] } },
  },
  ref: { type: "ref", of: "ints", name: "axes" },
};

test("every kind of attribute, name and type is printed and read back", () => {
  const m = model(
    graph({
      inputs: [
        value("x", "float32", ["N", 4]),
        { name: "any" },
        { name: "o", type: { kind: "optional" } },
        { name: "m", type: { kind: "map", key: "string", value: { kind: "tensor", dtype: "bool" } } },
      ],
      outputs: [{ name: "a b" }, { name: "::c" }],
      nodes: [node("Op", ["x", "", "any"], ["a b", "", "::c"], attributes, { domain: "ai.acme", name: "n 1" })],
      weights: new Map<string, Tensor>([
        ["w", tensor("uint2", [5], [0, 1, 2, 3, 1])],
        ["z", tensor("int64", [1], [-(2n ** 62n)])],
        ["e", tensor("float32", [0], [])],
      ]),
    }),
    {
      opsets: new Map([
        ["", 27],
        ["ai.acme", 1],
      ]),
    },
  );
  const text = print(m);
  const again = parse(text);
  expect(print(again)).toBe(text);
  expect(verify(again)).toEqual([]);
  expect(again.graph.nodes[0]!.attributes).toEqual(
    new Map(Object.entries(attributes).map(([k, a]) => [k, k === "t" ? expect.anything() : a])),
  );
  expect([...again.graph.weights].map(([, t]) => t.bytes)).toEqual([...m.graph.weights].map(([, t]) => t.bytes));
});

test("what cannot be read is an error with its line", () => {
  expect(() => parse("main (x) => (y) {\n y = Neg(x\n}")).toThrow(/core\/parse.*line 3/);
  expect(() => parse("main (x) => (y) {\n w: float33[1] = {1}\n}")).toThrow(/float33.*line 2/);
  expect(() => parse("main () => (w) { w: float32[9] = … }")).toThrow(/give the tensor w/);
});

test("problems say what and where", () => {
  const bad = parse("main (x, x) => (z) { b = Relu(a)  a = Neg(q) # neg\n a = Abs(x)  u = acme.Op(x) }");
  expect(verify(bad).map((d) => [d.code, d.location?.node, d.location?.value])).toEqual([
    ["core/duplicate-value", undefined, "x"],
    ["core/undefined-value", "b", "a"],
    ["core/undefined-value", "neg", "q"],
    ["core/duplicate-value", "a", "a"],
    ["core/undefined-value", undefined, "z"],
    ["core/no-opset", "u", undefined],
  ]);
});
