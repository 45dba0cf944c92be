import { attr, type Model, node, tensor, type ValueType, viewOf } from "@pare/core";
import { describe, expect, test } from "vitest";
import { inferTypes } from "./infer.ts";
import { made, shapeIn, typeIn } from "./test/models.ts";

const ints = (...data: number[]) => tensor("int64", [data.length], data);
const one = (data: number) => tensor("int64", [], [data]);

describe("symbols", () => {
  test("go through convolutions, shapes and arithmetic", () => {
    const m = made(
      { x: ["N", 3, "H", "W"] },
      { w: tensor("float32", [8, 3, 3, 3], new Float32Array(216)), zero: ints(0), minus: ints(-1), two: one(2) },
      [
        node("Conv", ["x", "w"], ["c"], { strides: attr.ints([2, 2]), pads: attr.ints([1, 1, 1, 1]) }),
        node("Shape", ["c"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "minus"], ["to"], { axis: attr.int(0) }),
        node("Reshape", ["c", "to"], ["r"]),
        node("Concat", ["r", "r"], ["y"], { axis: attr.int(1) }),
      ],
    );
    expect(shapeIn(m, "c")).toEqual(["N", 8, "floor((H+1)/2)", "floor((W+1)/2)"]);
    expect(shapeIn(m, "r")).toEqual(["N", "8*floor((H+1)/2)*floor((W+1)/2)"]);
    expect(shapeIn(m)).toEqual(["N", "16*floor((H+1)/2)*floor((W+1)/2)"]);
    expect(shapeIn(m, "y", { inputs: new Map([["x", [2, 3, 7, 8]]]) })).toEqual([2, 16 * 4 * 4]);
    expect(inferTypes(m).constantInts(viewOf(m).main, "to")).toEqual(["N", -1]);
  });

  test("decide comparisons where they can", () => {
    // The way in which Expand is exported: -1 keeps a dimension.
    const m = made({ x: ["N", 1] }, { shape: ints(-1, 5), minus: ints(-1), ones: ints(1, 1) }, [
      node("Equal", ["shape", "minus"], ["keeps"]),
      node("Where", ["keeps", "ones", "shape"], ["to"]),
      node("Expand", ["x", "to"], ["y"]),
    ]);
    expect(shapeIn(m)).toEqual(["N", 5]);
  });

  test("leave open what depends on them", () => {
    expect(shapeIn(made({ a: ["N"], b: ["M"] }, {}, [node("Add", ["a", "b"], ["y"])]))).toEqual([null]);
    expect(shapeIn(made({ a: ["N"], b: [4] }, {}, [node("Add", ["a", "b"], ["y"])]))).toEqual([4]);
    expect(shapeIn(made({ x: ["N"] }, { s: ints(0), e: ints(10) }, [node("Slice", ["x", "s", "e"], ["y"])]))).toEqual([
      "min(10,N)",
    ]);
    expect(
      shapeIn(made({ x: ["N"] }, { s: ints(1), e: ints(2 ** 40) }, [node("Slice", ["x", "s", "e"], ["y"])])),
    ).toEqual(["N-1"]);
  });
});

describe("what the model declares", () => {
  const declared = (type: ValueType): Model => {
    const m = made({ x: ["N", 4] }, {}, [
      node("Custom", ["x"], ["t"], {}, { domain: "acme" }),
      node("Relu", ["t"], ["y"]),
    ]);
    return { ...m, graph: { ...m.graph, types: new Map([["t", { name: "t", type }]]) } };
  };

  test("is used where no rule knows", () => {
    const m = declared({ kind: "tensor", dtype: "float16", shape: ["N", 8] });
    expect(typeIn(m, "y")).toEqual({ kind: "tensor", dtype: "float16", shape: ["N", 8] });
    expect(shapeIn(m, "y", { inputs: new Map([["x", [3, 4]]]) })).toEqual([3, 8]);
  });

  test("gives way to what is inferred, and to inputs that contradict it", () => {
    const m = made({ x: [2, 4] }, {}, [node("Relu", ["x"], ["y"])]);
    const wrong = { name: "y", type: { kind: "tensor", dtype: "int8", shape: [9, 9] } as const };
    expect(typeIn({ ...m, graph: { ...m.graph, outputs: [wrong] } }, "y")).toEqual({
      kind: "tensor",
      dtype: "float32",
      shape: [2, 4],
    });
    const fixed = made({ x: [1, 4] }, {}, [node("Custom", ["x"], ["y"], {}, { domain: "acme" })]);
    const stale = { name: "y", type: { kind: "tensor", dtype: "float32", shape: [1, 4] } as const };
    const batched = { ...fixed, graph: { ...fixed.graph, outputs: [stale] } };
    expect(typeIn(batched, "y", { inputs: new Map([["x", [7, 4]]]) })).toEqual({ kind: "tensor", dtype: "float32" });
  });
});

test("a default of an input is no constant", () => {
  const m = made({ x: [4] }, { s: ints(2, 2) }, [node("Reshape", ["x", "s"], ["y"])]);
  const open = { ...m, graph: { ...m.graph, inputs: [...m.graph.inputs, { name: "s" }] } };
  expect(shapeIn(m)).toEqual([2, 2]);
  expect(typeIn(open, "s")).toEqual({ kind: "tensor", dtype: "int64", shape: [2] });
  expect(shapeIn(open)).toEqual([null, null]);
});

test("says why it does not know", () => {
  const m = made({ x: [4], shape: [2] }, {}, [
    node("Reshape", ["x", "shape"], ["r"], {}, { name: "R" }),
    node("Relu", ["r"], ["y"]),
  ]);
  const types = inferTypes(m);
  expect(types.reason(viewOf(m).main, "x")).toBeUndefined();
  expect(types.reason(viewOf(m).main, "y")).toBe(
    "what R (Reshape) gives depends on values that are known only when it runs",
  );
  const other = made({ x: [4] }, {}, [
    node("Custom", ["x"], ["c"], {}, { domain: "acme" }),
    node("Relu", ["c"], ["y"]),
  ]);
  expect(inferTypes(other).reason(viewOf(other).main, "y")).toBe("there is no rule for acme.Custom (c)");
});
