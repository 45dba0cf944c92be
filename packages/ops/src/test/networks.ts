/** Networks as they were published, of weights that nobody reads. */
import { attr, graph, lazyTensor, type Model, model, type Node, node, type Tensor, value } from "@pare/core";

export const weight = (...shape: number[]): Tensor =>
  lazyTensor({ dtype: "float32", shape, read: () => Promise.reject(new Error("weights need not be read")) });

/** A classifier of images [batch, 3, 224, 224] that grows layer by layer. */
class Network {
  readonly #nodes: Node[] = [];
  readonly #weights = new Map<string, Tensor>();
  readonly #batch: number | string;
  last = "image";
  channels = 3;

  constructor(batch: number | string = 1) {
    this.#batch = batch;
  }

  add(op: string, inputs: readonly string[] = [], attributes: Parameters<typeof node>[3] = {}): this {
    const name = `${op}${this.#nodes.length}`;
    this.#nodes.push(node(op, [this.last, ...inputs], [name], attributes));
    this.last = name;
    return this;
  }

  #held(...shape: number[]): string {
    const name = `w${this.#weights.size}`;
    this.#weights.set(name, weight(...shape));
    return name;
  }

  conv(width: number, size: number, { stride = 1, group = 1 } = {}): this {
    const inputs = [this.#held(width, this.channels / group, size, size), this.#held(width)];
    this.channels = width;
    return this.add("Conv", inputs, {
      ...{ group: attr.int(group), strides: attr.ints([stride, stride]) },
      pads: attr.ints(new Array<number>(4).fill((size - 1) >> 1)),
    });
  }

  maxPool(size: number, pad: number): this {
    return this.add("MaxPool", [], {
      ...{ kernel_shape: attr.ints([size, size]), strides: attr.ints([2, 2]) },
      pads: attr.ints(new Array<number>(4).fill(pad)),
    });
  }

  linear(from: number, to: number): this {
    return this.add("Gemm", [this.#held(to, from), this.#held(to)], { transB: attr.int(1) });
  }

  get model(): Model {
    return model(
      graph({
        inputs: [value("image", "float32", [this.#batch, 3, 224, 224])],
        nodes: this.#nodes,
        weights: this.#weights,
        outputs: [{ name: this.last }],
      }),
    );
  }
}

/** VGG-16 (Simonyan and Zisserman 2014, configuration D). */
export function vgg16(batch: number | string = 1): Model {
  const net = new Network(batch);
  for (const width of [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0])
    if (width === 0) net.maxPool(2, 0);
    else net.conv(width, 3).add("Relu");
  return net.add("Flatten").linear(25088, 4096).linear(4096, 4096).linear(4096, 1000).model;
}

/** MobileNetV2 of width 1 (Sandler et al. 2018, table 2). */
export function mobilenetV2(): Model {
  const net = new Network().conv(32, 3, { stride: 2 });
  for (const [expansion, width, count, first] of [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ] as const)
    for (let i = 0; i < count; i++) {
      const [from, inside] = [net.last, net.channels * expansion];
      const same = net.channels === width;
      if (expansion > 1) net.conv(inside, 1).add("Clip");
      net
        .conv(inside, 3, { stride: i === 0 ? first : 1, group: inside })
        .add("Clip")
        .conv(width, 1);
      if (same) net.add("Add", [from]);
    }
  return net.conv(1280, 1).add("GlobalAveragePool").add("Flatten").linear(1280, 1000).model;
}

/** ResNet-50 (He et al. 2015), strides at the 3x3 convolutions as in torchvision. */
export function resnet50(): Model {
  const net = new Network().conv(64, 7, { stride: 2 }).maxPool(3, 1);
  for (const [width, count, first] of [
    [64, 3, 1],
    [128, 4, 2],
    [256, 6, 2],
    [512, 3, 2],
  ] as const)
    for (let i = 0; i < count; i++) {
      const [from, channels, stride] = [net.last, net.channels, i === 0 ? first : 1];
      const main = net
        .conv(width, 1)
        .conv(width, 3, { stride })
        .conv(4 * width, 1).last;
      net.last = from;
      net.channels = channels;
      if (i === 0) net.conv(4 * width, 1, { stride });
      net.channels = 4 * width;
      net.add("Add", [main]);
    }
  return net.add("GlobalAveragePool").add("Flatten").linear(2048, 1000).model;
}
