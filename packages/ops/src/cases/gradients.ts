import { type Attribute, attr, type Node, node, type ResidentTensor, tensor } from "@pare/core";
import { bool, f32, i32, i64 } from "./case.ts";

/** An operator on inputs at which its gradient is compared with differences. */
export interface GradientCase {
  readonly name: string;
  readonly node: Node;
  readonly inputs: readonly (ResidentTensor | undefined)[];
  /** Inputs that stay as they are: scales, ratios, statistics. */
  readonly fixed?: readonly number[];
  readonly formulations?: Readonly<Record<string, string>>;
}

/** Numbers between -1 and 1 that repeat nowhere. */
const wave = (shape: readonly number[], seed = 0): ResidentTensor =>
  f32(
    shape,
    Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) =>
      Math.sin(1.3 + 2.7 * i + 0.9 * seed + 0.01 * i * i),
    ),
  );
/** Between 0.5 and 1.5. */
const positive = (shape: readonly number[], seed = 0) => {
  const w = wave(shape, seed);
  return f32(
    shape,
    [...new Float32Array(w.bytes.buffer, w.bytes.byteOffset, w.byteLength / 4)].map((v) => 1 + v / 2),
  );
};

const made = (
  op: string,
  attributes: Readonly<Record<string, Attribute>>,
  inputs: readonly (ResidentTensor | undefined)[],
  more: {
    outputs?: number;
    label?: string;
    fixed?: readonly number[];
    formulations?: Readonly<Record<string, string>>;
  } = {},
): GradientCase => ({
  name: [
    op,
    ...Object.entries(attributes).map(([key, a]) => `${key}=${"value" in a ? a.value : a.type}`),
    ...Object.values(more.formulations ?? {}),
    ...(more.label ? [more.label] : []),
  ].join(" "),
  node: node(
    op,
    inputs.map((t, i) => (t ? `x${i}` : "")),
    Array.from({ length: more.outputs ?? 1 }, (_, i) => `y${i}`),
    attributes,
  ),
  inputs,
  ...(more.fixed && { fixed: more.fixed }),
  ...(more.formulations && { formulations: more.formulations }),
});

const ints = (...v: number[]) => attr.ints(v);

/** Convolutions of every kind of step, padding and grouping, in each formulation of the gradient of their weights. */
const convolutions: readonly GradientCase[] = [
  { x: [2, 3, 7, 6], w: [4, 3, 3, 3], a: { pads: ints(1, 1, 1, 1) } },
  { x: [2, 3, 7, 6], w: [4, 3, 3, 2], a: { pads: ints(0, 1, 2, 0), strides: ints(2, 3) } },
  { x: [2, 2, 8, 9], w: [3, 2, 2, 3], a: { dilations: ints(2, 1), strides: ints(1, 2) } },
  { x: [2, 4, 6, 6], w: [6, 2, 3, 3], a: { group: attr.int(2), pads: ints(1, 1, 1, 1), strides: ints(2, 2) } },
  { x: [2, 4, 6, 5], w: [4, 1, 3, 3], a: { group: attr.int(4), pads: ints(1, 1, 1, 1) } },
  { x: [2, 4, 7, 5], w: [4, 1, 3, 3], a: { group: attr.int(4), pads: ints(1, 1, 1, 1), strides: ints(2, 2) } },
  {
    x: [2, 2, 6, 5],
    w: [4, 1, 3, 3],
    a: { group: attr.int(2), auto_pad: attr.string("SAME_UPPER"), strides: ints(2, 2) },
  },
  { x: [3, 5, 4, 4], w: [6, 5, 1, 1], a: {} },
  { x: [3, 5, 5, 4], w: [6, 5, 1, 1], a: { strides: ints(2, 2) } },
  { x: [2, 3, 9], w: [4, 3, 4], a: { pads: ints(3, 3) } },
  { x: [1, 2, 4, 5, 4], w: [3, 2, 2, 3, 2], a: { pads: ints(0, 1, 0, 1, 1, 0) } },
  // The kernel is larger than what the padding leaves.
  { x: [2, 2, 3, 3], w: [2, 2, 3, 3], a: { pads: ints(3, 3, 3, 3), strides: ints(4, 4) } },
].flatMap(({ x, w, a }) =>
  ["convolution", "windows", "places", "channels", "matrices"]
    .filter((f) => {
      const group = Number((a as { group?: { value: number } }).group?.value ?? 1);
      return (
        f === "convolution" ||
        (f === "channels" || f === "matrices" ? group > 1 && w[0] === group && w[1] === 1 : group === 1)
      );
    })
    .map((f) =>
      made("Conv", a as Record<string, Attribute>, [wave(x), wave(w, 1), wave([w[0]!], 2)], {
        label: `${x} by ${w}`,
        formulations: { "convolution-weight": f },
      }),
    ),
);

/** Both ways to say the gradient of the input. */
const turned: readonly GradientCase[] = ["transposed", "convolution"].flatMap((f) =>
  [
    { x: [2, 3, 6, 5], w: [4, 3, 3, 3], a: { pads: ints(1, 1, 1, 1) } },
    { x: [2, 4, 6, 5], w: [6, 2, 2, 3], a: { group: attr.int(2), dilations: ints(2, 1) } },
    { x: [1, 2, 8], w: [3, 2, 5], a: { pads: ints(2, 0) } },
  ].map(({ x, w, a }) =>
    made("Conv", a as Record<string, Attribute>, [wave(x), wave(w, 1)], {
      label: `${x} by ${w}`,
      formulations: { "convolution-input": f },
    }),
  ),
);

const transposed: readonly GradientCase[] = [
  made("ConvTranspose", { strides: ints(2, 2), pads: ints(1, 0, 0, 1) }, [
    wave([2, 3, 3, 4]),
    wave([3, 2, 3, 3], 1),
    wave([2], 2),
  ]),
  made("ConvTranspose", { strides: ints(3, 2), output_padding: ints(1, 1) }, [
    wave([1, 2, 3, 2]),
    wave([2, 3, 2, 2], 1),
  ]),
  made("ConvTranspose", { group: attr.int(2), dilations: ints(2, 1) }, [wave([2, 4, 3, 3]), wave([4, 2, 2, 2], 1)]),
  made("ConvTranspose", { auto_pad: attr.string("SAME_UPPER"), strides: ints(2) }, [
    wave([1, 2, 4]),
    wave([2, 2, 3], 1),
  ]),
  made("ConvTranspose", { group: attr.int(3), strides: ints(2, 2) }, [wave([2, 3, 3, 3]), wave([3, 1, 3, 3], 1)]),
];

const pools: readonly GradientCase[] = [
  ...["comparison", "indices"].map((f) =>
    made("MaxPool", { kernel_shape: ints(2, 3), strides: ints(2, 3) }, [wave([2, 3, 4, 6])], {
      formulations: { "max-pool": f },
    }),
  ),
  made("MaxPool", { kernel_shape: ints(3, 3), strides: ints(2, 2), pads: ints(1, 1, 1, 1) }, [wave([2, 2, 7, 6])]),
  made("MaxPool", { kernel_shape: ints(2, 2), strides: ints(2, 2) }, [wave([2, 2, 5, 5])]),
  made("MaxPool", { kernel_shape: ints(3), auto_pad: attr.string("SAME_LOWER"), strides: ints(2) }, [wave([2, 2, 6])]),
  made("MaxPool", { kernel_shape: ints(2, 2), dilations: ints(2, 2), strides: ints(3, 3) }, [wave([1, 2, 7, 7])]),
  made("AveragePool", { kernel_shape: ints(2, 2), strides: ints(2, 2) }, [wave([2, 2, 4, 6])]),
  made("AveragePool", { kernel_shape: ints(3, 2), pads: ints(1, 0, 1, 1), auto_pad: attr.string("NOTSET") }, [
    wave([2, 2, 4, 5]),
  ]),
  made(
    "AveragePool",
    { kernel_shape: ints(3, 3), dilations: ints(2, 1), pads: ints(1, 1, 1, 1), count_include_pad: attr.int(1) },
    [wave([1, 2, 6, 5])],
  ),
  made("AveragePool", { kernel_shape: ints(2, 2), strides: ints(3, 2), auto_pad: attr.string("SAME_UPPER") }, [
    wave([1, 2, 7, 5]),
  ]),
  made("LpPool", { kernel_shape: ints(2, 2), strides: ints(1, 2), p: attr.int(3) }, [wave([1, 2, 4, 4])]),
  made("GlobalLpPool", { p: attr.int(3) }, [wave([1, 2, 3, 3])]),
  made("GlobalAveragePool", {}, [wave([2, 3, 4])]),
];

const statistics = (...c: number[]) => [wave(c, 3), positive(c, 4)] as const;
const normalizations: readonly GradientCase[] = [
  ...[
    [3, 2, 3, 2],
    [5, 3],
    [2, 3, 4],
  ].flatMap((x) => {
    const [scale, bias] = [wave([x[1]!], 1), wave([x[1]!], 2)];
    const inputs = [wave(x), scale, bias, ...statistics(x[1]!)];
    return [
      made("BatchNormalization", {}, inputs, { label: `${x}` }),
      made("BatchNormalization", { training_mode: attr.int(1), epsilon: attr.float(0.01) }, inputs, {
        label: `${x}`,
        fixed: [3, 4],
      }),
    ];
  }),
  made("LayerNormalization", { axis: attr.int(1) }, [wave([3, 2, 4]), wave([2, 4], 1), wave([2, 4], 2)]),
  made("LayerNormalization", {}, [wave([2, 3, 5]), wave([5], 1)]),
  made("LayerNormalization", { axis: attr.int(-2) }, [wave([2, 3, 5]), wave([5], 1), wave([3, 1], 2)]),
  made("InstanceNormalization", {}, [wave([2, 3, 4, 2]), wave([3], 1), wave([3], 2)]),
  made("GroupNormalization", { num_groups: attr.int(2) }, [wave([2, 4, 3, 2]), wave([4], 1), wave([4], 2)]),
  made("RMSNormalization", { axis: attr.int(-1) }, [wave([2, 3, 4]), wave([4], 1)]),
  made("LRN", { size: attr.int(4), alpha: attr.float(0.7), beta: attr.float(0.6), bias: attr.float(1.3) }, [
    wave([2, 6, 2, 2]),
  ]),
  made("LpNormalization", { axis: attr.int(1), p: attr.int(1) }, [wave([2, 4, 2])]),
  made("MeanVarianceNormalization", { axes: ints(0, 2) }, [wave([2, 2, 3])]),
];

const products: readonly GradientCase[] = [
  ...(
    [
      [
        [3, 4],
        [4, 5],
      ],
      [
        [2, 3, 4],
        [4, 5],
      ],
      [
        [2, 3, 4],
        [2, 4, 5],
      ],
      [
        [3, 1, 2, 4],
        [2, 4, 3],
      ],
      [
        [1, 3, 4],
        [5, 4, 2],
      ],
      [
        [3, 4],
        [2, 4, 5],
      ],
      [[4], [4]],
      [[4], [4, 3]],
      [[3, 4], [4]],
      [[4], [2, 3, 4, 2]],
      [[2, 3, 4], [4]],
    ] as const
  ).map(([p, q]) => made("MatMul", {}, [wave(p), wave(q, 1)], { label: `[${p}] [${q}]` })),
  ...[0, 1, 2, 3].map((k) => {
    const [ta, tb] = [k & 1, k >> 1];
    return made("Gemm", { transA: attr.int(ta), transB: attr.int(tb), alpha: attr.float(0.7), beta: attr.float(1.5) }, [
      wave(ta ? [4, 3] : [3, 4]),
      wave(tb ? [5, 4] : [4, 5], 1),
      wave(k === 0 ? [3, 1] : [5], 2),
    ]);
  }),
  ...["bij,bjk->bik", "ij,jk", "i,j->ij", "bhqd,bhkd->bhqk", "ij->j", "abc,c,ad->bd"].map((equation) => {
    const sizes: Readonly<Record<string, number>> = { b: 2, h: 3, i: 3, j: 4, k: 2, q: 3, d: 2, a: 3, c: 4 };
    const terms = equation.split("->")[0]!.split(",");
    return made(
      "Einsum",
      { equation: attr.string(equation) },
      terms.map((t, i) =>
        wave(
          [...t].map((letter) => sizes[letter]!),
          i,
        ),
      ),
    );
  }),
];

/** Operands of unlike shapes. */
const broadcasts: readonly GradientCase[] = [
  "Add",
  "Sub",
  "Mul",
  "Div",
  "Pow",
  "Max",
  "Min",
  "Mean",
  "Sum",
  "Mod",
  "PRelu",
].flatMap((op) =>
  (
    [
      [
        [2, 3, 4],
        [3, 1],
      ],
      [
        [2, 3, 4],
        [1, 1, 4],
      ],
      [
        [2, 1, 4],
        [3, 1],
      ],
      [[3, 2], []],
      ...(op === "PRelu" ? [] : [[[4], [2, 3, 4]]]),
    ] as [number[], number[]][]
  )
    .filter(([p, q]) => op !== "PRelu" || p.length > 2 || q.length === 0)
    .filter(([p]) => op !== "PRelu" || !p.includes(1))
    .map(([p, q]) =>
      made(
        op,
        op === "Mod" ? { fmod: attr.int(1) } : {},
        [op === "Pow" ? positive(p) : wave(p), op === "Div" || op === "Mod" ? positive(q, 1) : wave(q, 1)],
        {
          label: `[${p}] [${q}]`,
        },
      ),
    ),
);

const reductions: readonly GradientCase[] = [
  ...["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"].flatMap((kind) => {
    const x = kind === "LogSum" ? positive([2, 3, 4]) : wave([2, 3, 4]);
    return [
      made(`Reduce${kind}`, {}, [x]),
      made(`Reduce${kind}`, { keepdims: attr.int(0) }, [x, i64([2], [-1, 0])]),
      made(`Reduce${kind}`, { noop_with_empty_axes: attr.int(1) }, [x, i64([0], [])]),
    ];
  }),
  made("ReduceProd", { keepdims: attr.int(0) }, [f32([3, 3], [0, 2, -0.5, 0, 0, 3, 1, 2, 3]), i64([1], [1])]),
  made("Softmax", { axis: attr.int(1) }, [wave([2, 3, 4])]),
  made("LogSoftmax", { axis: attr.int(0) }, [wave([3, 4])]),
  made("CumSum", { exclusive: attr.int(1), reverse: attr.int(1) }, [wave([2, 4]), tensor("int64", [], [1])]),
  made("TopK", { axis: attr.int(0), largest: attr.int(0) }, [wave([5, 3]), i64([1], [2])], { outputs: 2 }),
];

const arrangements: readonly GradientCase[] = [
  made("Slice", {}, [wave([5, 6]), i64([2], [4, 1]), i64([2], [-6, 6]), i64([2], [0, 1]), i64([2], [-2, 3])]),
  made("Slice", {}, [wave([7, 2]), i64([1], [1]), i64([1], [-1]), i64([1], [0]), i64([1], [2])]),
  made("Slice", {}, [wave([3, 4]), i64([1], [-2]), i64([1], [1000])]),
  made("Pad", {}, [wave([2, 3]), i64([4], [1, -1, 0, 2]), f32([], [0.3])]),
  made("Pad", { mode: attr.string("reflect") }, [wave([2, 4]), i64([2], [2, 1]), undefined, i64([1], [-1])]),
  made("Tile", {}, [wave([2, 3]), i64([2], [3, 2])]),
  made("Expand", {}, [wave([3, 1]), i64([3], [2, 1, 4])]),
  made("DepthToSpace", { blocksize: attr.int(2), mode: attr.string("CRD") }, [wave([1, 8, 2, 3])]),
  made("DepthToSpace", { blocksize: attr.int(2) }, [wave([1, 8, 2, 3])]),
  made("SpaceToDepth", { blocksize: attr.int(2) }, [wave([1, 2, 4, 6])]),
  made("Concat", { axis: attr.int(-1) }, [wave([2, 1]), wave([2, 3], 1), wave([2, 2], 2)]),
  made("Split", { axis: attr.int(1), num_outputs: attr.int(3) }, [wave([2, 7])], { outputs: 3 }),
  made("Gather", { axis: attr.int(1) }, [wave([2, 4, 3]), i64([2, 3], [1, 1, -1, 0, 3, 1])]),
  made("Gather", {}, [wave([4, 3]), i32([], [2])]),
  made("GatherElements", { axis: attr.int(1) }, [wave([2, 4]), i64([2, 3], [0, 0, -1, 3, 2, 2])]),
  made("GatherND", {}, [wave([3, 4, 2]), i64([3, 2], [0, 1, 0, 1, 2, -1])]),
  made("ScatterElements", { axis: attr.int(0), reduction: attr.string("add") }, [
    wave([3, 2]),
    i64([2, 2], [0, 1, 0, 2]),
    wave([2, 2], 1),
  ]),
  made("ScatterElements", { axis: attr.int(1) }, [wave([2, 4]), i64([2, 2], [0, 3, 1, 2]), wave([2, 2], 1)]),
  made("ScatterND", {}, [wave([4, 3]), i64([2, 1], [2, 0]), wave([2, 3], 1)]),
  made("ScatterND", { reduction: attr.string("add") }, [wave([4, 3]), i64([2, 1], [2, 2]), wave([2, 3], 1)]),
  made("Where", {}, [bool([2, 1], [1, 0]), wave([2, 3]), wave([3], 1)]),
  made("Resize", { mode: attr.string("linear"), coordinate_transformation_mode: attr.string("align_corners") }, [
    wave([1, 2, 3, 4]),
    undefined,
    undefined,
    i64([4], [1, 2, 5, 3]),
  ]),
  made("Resize", { mode: attr.string("nearest") }, [wave([1, 1, 3, 3]), undefined, f32([4], [1, 1, 2, 2])], {
    fixed: [2],
  }),
  made("Clip", {}, [wave([3, 4]), f32([], [-0.4]), f32([], [0.6])]),
  made("Dropout", {}, [wave([3, 4]), f32([], [0.3]), bool([], [0])], { fixed: [1] }),
];

/** Cases beside those of the operators, for the gradients of what models are made of. */
export const gradientCases: readonly GradientCase[] = [
  ...convolutions,
  ...turned,
  ...transposed,
  ...pools,
  ...normalizations,
  ...products,
  ...broadcasts,
  ...reductions,
  ...arrangements,
];
