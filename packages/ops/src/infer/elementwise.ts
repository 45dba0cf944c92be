import { broadcast, int, type Shape, type ShapeRule, type ShapeRules, shapeAt } from "./rule.ts";

const likeInput: ShapeRule = (c) => [shapeAt(c, 0)];
const broadcasting: ShapeRule = (c) => [broadcast(c.inputs.map((f) => f?.shape))];
/** Several outputs of the shape of the input. */
const twoLikeInput: ShapeRule = (c) => [shapeAt(c, 0), shapeAt(c, 0)];
const scalar: Shape = [];

const each = (names: string, rule: ShapeRule): ShapeRules =>
  Object.fromEntries(names.split(" ").map((name) => [name, rule]));

/** Operators that work on each element, and others whose output has the shape of their first input. */
export const elementwise: ShapeRules = {
  ...each(
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow StringConcat Sub Sum Where Xor",
    broadcasting,
  ),
  ...each(
    "Abs Acos Acosh Asin Asinh Atan Atanh Bernoulli BitCast BitwiseNot Cast CastLike Ceil Celu Clip Cos Cosh CumProd CumSum DequantizeLinear Elu Erf Exp EyeLike Floor Gelu HardSigmoid HardSwish Hardmax Identity InstanceNormalization GroupNormalization IsInf IsNaN LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not PRelu QuantizeLinear RMSNormalization RandomNormalLike RandomUniformLike Reciprocal RegexFullMatch Relu ReverseSequence RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh TensorScatter ThresholdedRelu Trilu",
    likeInput,
  ),
  Dropout: twoLikeInput,
  DynamicQuantizeLinear: (c) => [shapeAt(c, 0), scalar, scalar],
  BatchNormalization(c) {
    const channels = shapeAt(c, 3) ?? shapeAt(c, 4) ?? shapeAt(c, 1);
    return [shapeAt(c, 0), channels, channels];
  },
  LayerNormalization(c) {
    const shape = shapeAt(c, 0);
    const axis = int(c, "axis", -1);
    const first = shape && (axis < 0 ? axis + shape.length : axis);
    const reduced = shape?.map((d, i) => (i < first! ? d : 1));
    return [shape, reduced, reduced];
  },
};
