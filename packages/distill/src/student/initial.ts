/** How the weights of a network begin whose layers are not known by name, only by their operators. */
import { elementCount, operatorOf, type Tensor, tensor, type Weight } from "@pare/core";
import { Fingerprint, seeded } from "@pare/ops/numeric";
import { biasInputs, channelAxis, weightRole } from "@pare/ops/weights";

/** Vectors that begin as one number: scales and variances as 1, shifts and means as 0. */
const constants: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  BatchNormalization: { 1: 1, 2: 0, 3: 0, 4: 1 },
  InstanceNormalization: { 1: 1, 2: 0 },
  LayerNormalization: { 1: 1, 2: 0 },
  GroupNormalization: { 1: 1, 2: 0 },
  RMSNormalization: { 1: 1 },
  PRelu: { 1: 0.25 },
  Mul: { 0: 1, 1: 1 },
  Div: { 1: 1 },
};

/** Deviation of tables and of what is added at each place, as transformers begin. */
const SMALL = 0.02;

/**
 * The first value of a parameter in its shape: filters as He et al. (2015), matrices as Glorot and Bengio (2010), biases 0,
 * normalizations as if they were not there. Undefined for what is no parameter.
 */
export function initialTensor(
  w: Weight,
  shape: readonly number[],
  isParameter: boolean,
  seed: number,
): Tensor | undefined {
  const filled = (v: number) => tensor("float32", shape, new Float32Array(elementCount(shape)).fill(v));
  for (const { node, index } of w.uses) {
    const first = constants[operatorOf(node)]?.[index];
    const isNorm = first !== undefined && node.op !== "Mul" && node.op !== "Div";
    if (isNorm || (isParameter && first !== undefined)) return filled(first);
    if (biasInputs.get(operatorOf(node)) === index) return filled(0);
  }
  if (!isParameter) return undefined;
  const role = weightRole(w.uses, shape.length);
  if (!role) return shape.filter((d) => d > 1).length > 1 ? normal(SMALL, shape, w.name, seed) : filled(0);
  if (role.op.op === "Gather") return normal(SMALL, shape, w.name, seed);
  const axis = channelAxis(role.op, role.input, shape.length);
  const outputs = axis === undefined ? 1 : shape[role.storedAxis(axis)]!;
  const inputs = elementCount(shape) / outputs;
  const isFilter = role.op.op.includes("Conv");
  return normal(Math.sqrt(2 / (isFilter ? inputs : inputs + outputs)), shape, w.name, seed);
}

/** Normally distributed numbers by Box and Muller (1958), which depend on seed and name alone. */
function normal(deviation: number, shape: readonly number[], name: string, seed: number): Tensor {
  const random = seeded(
    Number.parseInt(
      new Fingerprint()
        .add(new TextEncoder().encode(`${seed} ${name}`))
        .toString()
        .slice(8),
      16,
    ),
  );
  const draw = () => deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return tensor("float32", shape, Float32Array.from({ length: elementCount(shape) }, draw));
}
