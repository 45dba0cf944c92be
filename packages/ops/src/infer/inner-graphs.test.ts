import {
  type Attribute,
  attr,
  type DType,
  type FunctionDef,
  graph,
  IR_OPSET,
  node,
  tensor,
  value,
  viewOf,
} from "@pare/core";
import { describe, expect, test } from "vitest";
import { codeOf } from "../dtype-codes.ts";
import { inferTypes } from "../infer.ts";
import { made, outputs, shapeIn, typeIn } from "../test/models.ts";

const one = (data: number) => tensor("int64", [], [data]);

describe("graphs inside nodes", () => {
  test("branches keep what they share", () => {
    const branch = (...shape: number[]) =>
      attr.graph(
        graph({
          nodes: [
            node("Constant", [], ["v"], {
              value: attr.tensor(tensor("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)))),
            }),
          ],
          outputs: outputs("v"),
        }),
      );
    const either = (then: Attribute, otherwise: Attribute, weights = {}) =>
      made({ c: [] }, weights, [node("If", ["c"], ["y"], { then_branch: then, else_branch: otherwise })], "bool");
    expect(shapeIn(either(branch(2, 3), branch(2, 4)))).toEqual([2, null]);
    expect(typeIn(either(branch(2, 3), branch(2)), "y")).toEqual({ kind: "tensor", dtype: "float32" });
    const known = made({}, { c: tensor("bool", [], [1]) }, [
      node("If", ["c"], ["y"], { then_branch: branch(2, 3), else_branch: branch(2) }),
    ]);
    expect(shapeIn(known)).toEqual([2, 3]);
  });

  test("loops widen what changes from turn to turn and stack what they scan", () => {
    const body = graph({
      inputs: [value("i", "int64"), value("go", "bool"), { name: "grown" }, { name: "kept" }],
      nodes: [
        node("Identity", ["go"], ["on"]),
        node("Concat", ["grown", "x"], ["longer"], { axis: attr.int(0) }),
        node("Relu", ["kept"], ["same"]),
        node("Cast", ["same"], ["scan"], { to: attr.int(codeOf("int8")) }),
      ],
      outputs: outputs("on", "longer", "same", "scan"),
    });
    const m = made({ x: ["N", 4] }, { turns: one(6) }, [
      node("Loop", ["turns", "", "x", "x"], ["a", "b", "y"], { body: attr.graph(body) }),
    ]);
    expect(shapeIn(m, "a")).toEqual([null, 4]);
    expect(shapeIn(m, "b")).toEqual(["N", 4]);
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "int8", shape: [6, "N", 4] });
    const inner = viewOf(m).graphs[1]!;
    expect(inferTypes(m).of(inner, "longer")).toEqual({ kind: "tensor", dtype: "float32", shape: [null, 4] });
    expect(inferTypes(m).of(inner, "x")).toEqual({ kind: "tensor", dtype: "float32", shape: ["N", 4] });
  });

  test("scans take and give slices", () => {
    const body = graph({
      inputs: [{ name: "state" }, { name: "part" }],
      nodes: [node("Add", ["state", "part"], ["sum"]), node("Identity", ["sum"], ["out"])],
      outputs: outputs("sum", "out"),
    });
    const m = made({ s: [3], x: [3, "T"] }, {}, [
      node("Scan", ["s", "x"], ["last", "y"], {
        body: attr.graph(body),
        num_scan_inputs: attr.int(1),
        scan_input_axes: attr.ints([1]),
      }),
    ]);
    expect(shapeIn(m, "last")).toEqual([3]);
    expect(shapeIn(m)).toEqual(["T", 3]);
  });

  test("functions are inferred for each caller", () => {
    const f: FunctionDef = {
      domain: "acme",
      name: "Half",
      overload: "",
      attributes: ["to"],
      defaults: new Map(),
      opsets: new Map([["", IR_OPSET]]),
      body: graph({
        inputs: outputs("a"),
        nodes: [node("Cast", ["a"], ["b"], { to: { type: "ref", of: "int", name: "to" } })],
        outputs: outputs("b"),
      }),
    };
    const call = (from: string, to: string, dtype: DType) =>
      node("Half", [from], [to], { to: attr.int(codeOf(dtype)) }, { domain: "acme" });
    const m = { ...made({ x: [2], z: [3] }, {}, [call("x", "p", "float16"), call("z", "y", "int8")]), functions: [f] };
    expect(typeIn(m, "p")).toEqual({ kind: "tensor", dtype: "float16", shape: [2] });
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "int8", shape: [3] });
    const inside = viewOf(m).graphs.find((v) => v.graph === f.body)!;
    expect(inferTypes(m).of(inside, "a")).toEqual({ kind: "tensor", dtype: "float32", shape: [null] });
    const endless = { ...f, body: { ...f.body, nodes: [call("a", "b", "int8")] } };
    expect(typeIn({ ...m, functions: [endless] }, "y")).toBeUndefined();
  });

  test("sequences know their elements", () => {
    const m = made({ x: ["N", 6] }, { at: one(0) }, [
      node("SplitToSequence", ["x"], ["parts"], { axis: attr.int(1) }),
      node("SequenceAt", ["parts", "at"], ["y"]),
    ]);
    expect(typeIn(m, "parts")).toEqual({
      kind: "sequence",
      element: { kind: "tensor", dtype: "float32", shape: ["N", 1] },
    });
    expect(shapeIn(m)).toEqual(["N", 1]);
  });
});
