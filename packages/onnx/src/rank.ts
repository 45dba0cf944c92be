import { attribute, constantOf, type GraphView, intAttribute, intsAttribute, type Node } from "@pare/core";

/**
 * Number of dimensions of a value, from what the model says of it or from the operators before it, at any opset;
 * undefined where they do not tell.
 */
export function rankOf(
  view: GraphView,
  value: string,
  known = new Map<string, number | undefined>(),
): number | undefined {
  const home = view.definer(value);
  if (!home) return undefined;
  const id = `${home.path}\0${value}`;
  if (known.has(id)) return known.get(id);
  known.set(id, undefined);
  const type = home.info(value)?.type;
  const said = type?.kind === "tensor" ? type.shape?.length : undefined;
  const maker = home.producer(value);
  // The walk is bounded: the stack must not grow with the model.
  const found =
    said ??
    home.constant(value)?.shape.length ??
    (maker && known.size < 500 ? rankFrom(home, maker, known) : undefined);
  known.set(id, found);
  return found;
}

function rankFrom(view: GraphView, n: Node, known: Map<string, number | undefined>): number | undefined {
  if (n.domain !== "") return undefined;
  const of = (i: number) => (n.inputs[i] ? rankOf(view, n.inputs[i], known) : undefined);
  const count = (input: number, name: string) => {
    const list = intsAttribute(n, name);
    if (list) return list.length;
    const t = n.inputs[input] ? constantOf(view, n.inputs[input]) : undefined;
    return t?.shape.length === 1 ? t.shape[0] : undefined;
  };
  const plus = (a: number | undefined, b: number | undefined) =>
    a === undefined || b === undefined || a + b < 0 ? undefined : a + b;
  switch (n.op) {
    case "Flatten":
    case "Gemm":
      return 2;
    case "Reshape": {
      const shape = n.inputs[1] ? view.constant(n.inputs[1]) : undefined;
      return shape?.shape[0];
    }
    case "Transpose":
      return intsAttribute(n, "perm")?.length ?? of(0);
    case "Unsqueeze":
      return plus(of(0), count(1, "axes"));
    case "Squeeze": {
      const axes = count(1, "axes");
      return plus(of(0), axes === undefined ? undefined : -axes);
    }
    case "MatMul": {
      const [a, b] = [of(0), of(1)];
      if (a === undefined || b === undefined || a < 1 || b < 1) return undefined;
      return Math.max(a, b, 2) - (a === 1 ? 1 : 0) - (b === 1 ? 1 : 0);
    }
    case "Gather": {
      const sum = plus(of(0), of(1));
      return plus(sum, -1);
    }
    case "ReduceMean":
    case "ReduceSum":
    case "ReduceMax":
    case "ReduceMin":
      return intAttribute(n, "keepdims", 1) === 1 ? of(0) : undefined;
    case "Add":
    case "Sub":
    case "Mul":
    case "Div":
    case "Pow": {
      const [a, b] = [of(0), of(1)];
      return a === undefined || b === undefined ? undefined : Math.max(a, b);
    }
    default:
      return sameRank.has(n.op) && attribute(n, "layout", "int") === undefined ? of(0) : undefined;
  }
}

/** Operators whose first output has as many dimensions as their first input. */
const sameRank = new Set(
  (
    "Abs AveragePool BatchNormalization Cast Clip Concat Conv ConvTranspose CumSum Dropout Elu Erf Exp GlobalAveragePool " +
    "GlobalMaxPool HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax " +
    "MaxPool Neg PRelu Pad Relu Resize Selu Sigmoid Slice Softmax Softplus Split Sqrt Tanh Tile Upsample"
  ).split(" "),
);
