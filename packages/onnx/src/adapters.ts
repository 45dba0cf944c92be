import { attr, type Node, node, tensor } from "@pare/core";
import {
  type AdaptContext,
  type Adapter,
  type AdapterTable,
  arity,
  attributeOf,
  listOf,
  noAdapter,
  withAttributes,
  withInputs,
} from "./adapt.ts";
import { resize, resizeEmpty, upsampleScales } from "./adapters-resize.ts";

const axesTensor = (values: readonly number[]) => tensor("int64", [values.length], values.map(BigInt));

const name = (n: Node, what: string) => `${n.outputs[0] || n.op}_${what}`;

/** An attribute of integers that became the input `at`. */
const listToInput =
  (attribute: string, at: number, outputs = 1): Adapter =>
  (n, ctx) => {
    arity(n, ctx, 1, at, outputs);
    const list = listOf(n, ctx, attribute);
    const bare = withAttributes(n, { [attribute]: undefined });
    if (!list) return bare;
    const inputs = [...n.inputs, ...Array(at - n.inputs.length).fill("")];
    return withInputs(bare, [...inputs, ctx.constant(name(n, attribute), axesTensor(list))]);
  };

/**
 * Softmax of opset 11 flattens to a matrix at `axis` (default 1) and works on its rows; of 13 it works along `axis`.
 * On the last axis that is the same.
 */
const softmax: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1);
  const axis = Number(attributeOf(n, ctx, "axis", "int") ?? 1);
  const x = n.inputs[0]!;
  const rank = ctx.rank(x) ?? ctx.rank(n.outputs[0]!);
  if (rank !== undefined && (axis > rank || axis < -rank))
    throw noAdapter(ctx, n, `axis ${axis} of ${rank} dimensions`);
  const last = withAttributes(n, { axis: attr.int(-1) });
  if (axis === -1 || axis === (rank ?? Number.NaN) - 1) return last;
  const shape = ctx.fresh(name(n, "shape"));
  const rows = ctx.fresh(name(n, "rows"));
  const done = ctx.fresh(name(n, "flat"));
  return [
    node("Shape", [x], [shape]),
    node("Flatten", [x], [rows], { axis: attr.int(axis) }),
    { ...last, inputs: [rows], outputs: [done] },
    node("Reshape", [done, shape], n.outputs),
  ];
};

const clip: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1);
  const nodes: Node[] = [];
  const bound = (attribute: "min" | "max") => {
    const limit = attributeOf(n, ctx, attribute, "float");
    if (limit === undefined) return undefined;
    const made = ctx.scalarLike(name(n, attribute), n.inputs[0]!, limit);
    nodes.push(...made.nodes);
    return made.name;
  };
  const bounded = withInputs(withAttributes(n, { min: undefined, max: undefined }), [
    n.inputs[0],
    bound("min"),
    bound("max"),
  ]);
  return [...nodes, bounded];
};

const pad: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1);
  const pads = listOf(n, ctx, "pads");
  if (!pads) throw noAdapter(ctx, n, "it has no pads");
  const rank = ctx.rank(n.inputs[0]!);
  if (rank !== undefined && pads.length !== 2 * rank)
    throw noAdapter(ctx, n, `it has ${pads.length} pads for ${rank} dimensions`);
  const value = attributeOf(n, ctx, "value", "float") ?? 0;
  const bare = withAttributes(n, { pads: undefined, value: undefined });
  const fill = value === 0 ? { name: undefined, nodes: [] } : ctx.scalarLike(name(n, "value"), n.inputs[0]!, value);
  return [...fill.nodes, withInputs(bare, [n.inputs[0], ctx.constant(name(n, "pads"), axesTensor(pads)), fill.name])];
};

const slice: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1);
  const starts = listOf(n, ctx, "starts");
  if (!starts) throw noAdapter(ctx, n, "it has no starts");
  const ends = listOf(n, ctx, "ends", starts.length);
  if (!ends) throw noAdapter(ctx, n, "it has no ends");
  const axes = listOf(n, ctx, "axes", starts.length);
  const make = (what: string, values: readonly number[] | undefined) =>
    values && ctx.constant(name(n, what), axesTensor(values));
  const bare = withAttributes(n, { starts: undefined, ends: undefined, axes: undefined });
  return withInputs(bare, [n.inputs[0], make("starts", starts), make("ends", ends), make("axes", axes)]);
};

const dropout: Adapter = (n, ctx) => {
  arity(n, ctx, 1, 1, 2);
  const ratio = attributeOf(n, ctx, "ratio", "float") ?? 0.5;
  const bare = withAttributes(n, { ratio: undefined });
  // Nothing is dropped in inference, and engines refuse to drop all.
  if (!(ratio >= 0 && ratio < 1)) return bare;
  return withInputs(bare, [n.inputs[0], ctx.constant(name(n, "ratio"), tensor("float32", [], [ratio]))]);
};

const batchNormalization: Adapter = (n, ctx) => {
  arity(n, ctx, 5, 5, 5);
  if (n.outputs.slice(1).some(Boolean)) throw noAdapter(ctx, n, "it is in training mode");
  return { ...n, outputs: n.outputs.slice(0, 1) };
};

const rename =
  (op: string): Adapter =>
  (n) => ({ ...n, op });

/** Scale and bias were by group: each of a group's channels gets them. */
const groupNormalization: Adapter = (n, ctx) => {
  arity(n, ctx, 3, 3);
  const groups = Number(attributeOf(n, ctx, "num_groups", "int") ?? 0);
  if (groups < 1) throw noAdapter(ctx, n, "it does not say how many groups it has");
  const [channels, size, shape] = ["channels", "size", "shape"].map((what) => ctx.fresh(name(n, what))) as [
    string,
    string,
    string,
  ];
  const count = ctx.constant(name(n, "groups"), axesTensor([groups]));
  const [last, all] = [ctx.constant(name(n, "axis"), axesTensor([1])), ctx.constant(name(n, "all"), axesTensor([-1]))];
  const spread = n.inputs.slice(1).map((v) => {
    const [column, many, flat] = [1, 2, 3].map(() => ctx.fresh(name(n, "each"))) as [string, string, string];
    const nodes = [
      node("Unsqueeze", [v, last], [column]),
      node("Expand", [column, shape], [many]),
      node("Reshape", [many, all], [flat]),
    ];
    return { nodes, flat };
  });
  return [
    node("Shape", [n.inputs[0]!], [channels], { start: attr.int(1), end: attr.int(2) }),
    node("Div", [channels, count], [size]),
    node("Concat", [count, size], [shape], { axis: attr.int(0) }),
    ...spread.flatMap((s) => s.nodes),
    withInputs(n, [n.inputs[0], ...spread.map((s) => s.flat)]),
  ];
};

const withDefault =
  (attribute: string, value: string): Adapter =>
  (n, ctx) =>
    attributeOf(n, ctx, attribute, "string") === undefined ? withAttributes(n, { [attribute]: attr.string(value) }) : n;

const reduce: Adapter = listToInput("axes", 1);

/**
 * What changed its meaning between opsets 7 and 27: operator, the version that changed it, and how to say the version
 * before in it. Changes that only add (types, attributes with a default, optional inputs) need nothing and are not here.
 */
export const adapters: AdapterTable = new Map<string, readonly (readonly [number, Adapter])[]>([
  [
    "BatchNormalization",
    [
      [
        9,
        (n: Node, ctx: AdaptContext) => {
          if (Number(attributeOf(n, ctx, "spatial", "int") ?? 1) !== 1)
            throw noAdapter(ctx, n, "its statistics are not by channel");
          return withAttributes(n, { spatial: undefined });
        },
      ],
      [14, batchNormalization],
    ],
  ],
  ["Clip", [[11, clip]]],
  [
    "DFT",
    [
      [
        20,
        (n: Node, ctx: AdaptContext) => {
          arity(n, ctx, 1, 2);
          const axis = tensor("int64", [], [BigInt(attributeOf(n, ctx, "axis", "int") ?? 1)]);
          return withInputs(withAttributes(n, { axis: undefined }), [
            n.inputs[0],
            n.inputs[1],
            ctx.constant(name(n, "axis"), axis),
          ]);
        },
      ],
    ],
  ],
  ["Dropout", [[12, dropout]]],
  [
    "GridSample",
    [
      [
        20,
        (n: Node, ctx: AdaptContext) => {
          const mode = attributeOf(n, ctx, "mode", "string");
          const renamed = new Map<unknown, string>([
            ["bilinear", "linear"],
            ["bicubic", "cubic"],
          ]).get(mode);
          return renamed ? withAttributes(n, { mode: attr.string(renamed) }) : n;
        },
      ],
    ],
  ],
  ["GroupNormalization", [[21, groupNormalization]]],
  ["Hardmax", [[13, softmax]]],
  ["LogSoftmax", [[13, softmax]]],
  ["Pad", [[11, pad]]],
  ...["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"].map(
    (kind): [string, [number, Adapter][]] => [`Reduce${kind}`, [[18, reduce]]],
  ),
  ["ReduceSum", [[13, reduce]]],
  [
    "Resize",
    [
      [11, resize],
      [13, resizeEmpty],
    ],
  ],
  ["RoiAlign", [[16, withDefault("coordinate_transformation_mode", "output_half_pixel")]]],
  ["Scatter", [[11, rename("ScatterElements")]]],
  ["Slice", [[10, slice]]],
  ["Softmax", [[13, softmax]]],
  [
    "Split",
    [
      [13, listToInput("split", 1, Number.POSITIVE_INFINITY)],
      [
        18,
        (n: Node, ctx: AdaptContext) => {
          arity(n, ctx, 1, 2, Number.POSITIVE_INFINITY);
          return n.inputs[1] ? n : withAttributes(n, { num_outputs: attr.int(n.outputs.length) });
        },
      ],
    ],
  ],
  ["Squeeze", [[13, listToInput("axes", 1)]]],
  [
    "TopK",
    [
      [
        10,
        (n: Node, ctx: AdaptContext) => {
          arity(n, ctx, 1, 1, 2);
          const k = attributeOf(n, ctx, "k", "int");
          if (k === undefined) throw noAdapter(ctx, n, "it has no k");
          const made = ctx.constant(name(n, "k"), tensor("int64", [1], [BigInt(k)]));
          return withInputs(withAttributes(n, { k: undefined }), [n.inputs[0], made]);
        },
      ],
    ],
  ],
  [
    "Unsqueeze",
    [
      [
        13,
        (n: Node, ctx: AdaptContext) => {
          if (!n.attributes.has("axes")) throw noAdapter(ctx, n, "it has no axes");
          return listToInput("axes", 1)(n, ctx);
        },
      ],
    ],
  ],
  [
    "Upsample",
    [
      [9, upsampleScales],
      [10, rename("Resize")],
    ],
  ],
]);
