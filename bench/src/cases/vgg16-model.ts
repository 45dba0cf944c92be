import { attr, graph, lazyTensor, type Model, model, type Node, node, type Tensor, value } from "@pare/core";

/** Output channels of the convolutions, `pool` between blocks. (Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D.) */
const layers = [
  64,
  64,
  "pool",
  128,
  128,
  "pool",
  256,
  256,
  256,
  "pool",
  512,
  512,
  512,
  "pool",
  512,
  512,
  512,
  "pool",
] as const;

/** VGG16 at full size, 138,357,544 parameters of seeded pseudo-random numbers that are computed when they are read. */
export function vgg16Model(): Model {
  const nodes: Node[] = [];
  const weights = new Map<string, Tensor>();
  let x = "image";
  let channels = 3;
  let n = 0;
  const weight = (name: string, shape: readonly number[], fanIn: number) => {
    weights.set(name, noiseTensor(shape, Math.sqrt(2 / fanIn), weights.size + 1));
    return name;
  };
  const step = (op: string, inputs: readonly string[], attributes: Parameters<typeof node>[3] = {}) => {
    const out = `${op.toLowerCase()}_${++n}`;
    nodes.push(node(op, inputs, [out], attributes, { name: out }));
    x = out;
  };
  for (const layer of layers) {
    if (layer === "pool") step("MaxPool", [x], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) });
    else {
      const id = `conv${n + 1}`;
      const fanIn = channels * 9;
      step("Conv", [x, weight(`${id}.weight`, [layer, channels, 3, 3], fanIn), weight(`${id}.bias`, [layer], 1e4)], {
        kernel_shape: attr.ints([3, 3]),
        pads: attr.ints([1, 1, 1, 1]),
      });
      step("Relu", [x]);
      channels = layer;
    }
  }
  step("Flatten", [x]);
  let width = 512 * 7 * 7;
  for (const [i, out] of [4096, 4096, 1000].entries()) {
    const id = `fc${i + 1}`;
    step("Gemm", [x, weight(`${id}.weight`, [out, width], width), weight(`${id}.bias`, [out], 1e4)], {
      transB: attr.int(1),
    });
    if (i < 2) step("Relu", [x]);
    width = out;
  }
  return model(
    graph({
      name: "vgg16",
      inputs: [value("image", "float32", ["N", 3, 224, 224])],
      outputs: [value(x, "float32", ["N", 1000])],
      nodes,
      weights,
    }),
  );
}

/** Pseudo-random numbers, about normal with this deviation, that can be read in any order: each depends on its index alone. */
export function noiseTensor(shape: readonly number[], deviation: number, seed: number): Tensor<"float32"> {
  const factor = (deviation * Math.sqrt(3)) / 2 ** 32;
  return lazyTensor({
    dtype: "float32",
    shape,
    key: `noise@1:${seed},${deviation}`,
    async read({ offset, length }) {
      const first = Math.floor(offset / 4);
      const values = new Float32Array(Math.ceil((offset + length) / 4) - first);
      for (let i = 0; i < values.length; i++) {
        // The sum of four uniform halves of two hashes: bell-shaped enough for weights, and cheap.
        let h = Math.imul((first + i) ^ Math.imul(seed, 0x9e3779b9), 0x85ebca6b);
        h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
        h ^= h >>> 16;
        let g = Math.imul(h, 0x27d4eb2f);
        g ^= g >>> 15;
        values[i] = ((h | 0) + (g | 0)) * factor;
      }
      return new Uint8Array(values.buffer, offset - first * 4, length);
    },
  });
}
