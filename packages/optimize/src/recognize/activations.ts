import { attr, attribute, type GraphView, type Model, type Node, node } from "@pare/core";
import { dtypeOf, rankOf, rulePass } from "../rule-pass.ts";
import { any, type Match, named, number, op, type Pattern } from "./pattern.ts";
import { patternRule } from "./rule.ts";

const x = any("x");

/** `x / by`, as it may be written. */
const divided = (value: Pattern, by: number): Pattern[] => [
  op("Div", value, number(by)),
  op("Mul", value, number(1 / by)),
];

/** `0.5 * x * (1 + value)`, in each order of multiplication. */
const halfTimes = (value: Pattern): Pattern[] => {
  const sum = op("Add", value, number(1));
  return [
    op("Mul", op("Mul", x, sum), number(0.5)),
    op("Mul", op("Mul", x, number(0.5)), sum),
    op("Mul", x, op("Mul", sum, number(0.5))),
    op("Div", op("Mul", x, sum), number(2)),
  ];
};

const cube = [op("Pow", x, number(3)), op("Mul", op("Mul", x, x), x)];
const inTanh = cube.map((x3) =>
  op("Mul", op("Add", x, op("Mul", x3, number(0.044715))), number(Math.sqrt(2 / Math.PI))),
);

const relu6 = op("Clip", op("Add", x, number(3)), number(0), number(6));

/** The activation of `x`, which has the rank of the result: constants of more dimensions would have raised it. */
const activation =
  (name: string, attributes: Node["attributes"] | Record<string, ReturnType<typeof attr.float>> = {}) =>
  ({ values }: Match, root: Node, view: GraphView, model: Model): Node | undefined => {
    const from = values.get("x")!;
    const rank = rankOf(model, view, from);
    if (rank === undefined || rank !== rankOf(model, view, root.outputs[0]!)) return undefined;
    if (dtypeOf(model, view, from) !== "float32") return undefined;
    return node(name, [from], [root.outputs[0]!], attributes, { name: root.name });
  };

/** `0.5 x (1 + erf(x / sqrt 2))`, Hendrycks and Gimpel 2016. */
const gelu = patternRule(
  "gelu",
  divided(x, Math.SQRT2).flatMap((scaled) => halfTimes(op("Erf", scaled))),
  activation("Gelu"),
);

/** Its approximation `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`. */
const geluTanh = patternRule(
  "gelu-tanh",
  inTanh.flatMap((inner) => halfTimes(op("Tanh", inner))),
  activation("Gelu", { approximate: attr.string("tanh") }),
);

/** `x relu6(x + 3) / 6`, Howard et al. 2019. */
const hardSwish = patternRule(
  "hard-swish",
  [
    ...divided(op("Mul", x, relu6), 6),
    ...divided(relu6, 6).map((gate) => op("Mul", x, gate)),
    op("Mul", op("Div", x, number(6)), relu6),
  ],
  activation("HardSwish"),
);

/** `relu6(x + 3) / 6`. */
const hardSigmoid = patternRule(
  "hard-sigmoid",
  divided(relu6, 6),
  activation("HardSigmoid", { alpha: attr.float(1 / 6), beta: attr.float(0.5) }),
);

/** `x hardSigmoid(x)` with the slope and offset that make it a `HardSwish`. */
const gated = patternRule(
  "hard-swish-gate",
  [op("Mul", x, named("gate", op("HardSigmoid", x)))],
  (match, root, view, model) => {
    const gate = match.named.get("gate")!;
    const near = (name: string, standard: number, is: number) =>
      Math.abs((attribute(gate, name, "float") ?? standard) - is) < 1e-6;
    const isSwish = near("alpha", 0.2, 1 / 6) && near("beta", 0.5, 0.5);
    return isSwish ? activation("HardSwish")(match, root, view, model) : undefined;
  },
);

/** Puts `Gelu` in the place of the arithmetic that it stands for, exact or with `tanh`. */
export const recognizeGelu = rulePass("recognize-gelu", [gelu, geluTanh]);

/** Puts `HardSwish` and `HardSigmoid` in the place of the arithmetic that they stand for. */
export const recognizeHardSwish = rulePass("recognize-hard-swish", [hardSwish, hardSigmoid, gated]);
