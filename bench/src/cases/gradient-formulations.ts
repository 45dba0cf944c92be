import { attr, type Model, tensor, value, viewOf } from "@pare/core";
import { print } from "@pare/core/print";
import { buildGraph } from "@pare/ops/build";
import { type WeightShape, weightFormulations } from "@pare/ops/gradient";
import { ort } from "@pare/runtime-ort";
import { differentiate } from "@pare/train";
import type { BenchCase, Benchmark } from "../benchmark.ts";

interface Shape {
  readonly batch: number;
  readonly from: number;
  readonly to: number;
  readonly size: number;
  readonly kernel: number;
  readonly stride?: number;
  readonly pad?: number;
  readonly group?: number;
}

/** Convolutions of the classics at the sizes at which they are trained. */
const shapes: readonly Shape[] = [
  { batch: 256, from: 1, to: 20, size: 28, kernel: 5 },
  { batch: 256, from: 20, to: 50, size: 12, kernel: 5 },
  { batch: 256, from: 1, to: 16, size: 28, kernel: 3, pad: 1 },
  { batch: 256, from: 16, to: 16, size: 28, kernel: 3, pad: 1 },
  { batch: 256, from: 16, to: 32, size: 14, kernel: 3, pad: 1 },
  { batch: 256, from: 32, to: 32, size: 14, kernel: 3, pad: 1 },
  { batch: 256, from: 32, to: 64, size: 7, kernel: 3, pad: 1 },
  { batch: 256, from: 64, to: 64, size: 7, kernel: 3, pad: 1 },
  { batch: 256, from: 16, to: 32, size: 28, kernel: 3, pad: 1, stride: 2 },
  { batch: 256, from: 32, to: 64, size: 14, kernel: 3, pad: 1, stride: 2 },
  { batch: 256, from: 16, to: 32, size: 28, kernel: 1, stride: 2 },
  { batch: 256, from: 16, to: 96, size: 14, kernel: 1 },
  { batch: 256, from: 96, to: 24, size: 14, kernel: 1 },
  { batch: 256, from: 1, to: 64, size: 28, kernel: 7, stride: 7 },
  { batch: 32, from: 64, to: 64, size: 32, kernel: 3, pad: 1 },
  { batch: 32, from: 64, to: 64, size: 7, kernel: 3, pad: 1 },
  { batch: 32, from: 128, to: 128, size: 14, kernel: 3, pad: 1 },
  { batch: 64, from: 128, to: 128, size: 14, kernel: 3, pad: 1 },
  { batch: 128, from: 32, to: 32, size: 16, kernel: 3, pad: 1 },
  { batch: 16, from: 128, to: 128, size: 28, kernel: 3, pad: 1 },
  { batch: 4, from: 64, to: 64, size: 56, kernel: 3, pad: 1 },
  { batch: 16, from: 3, to: 64, size: 112, kernel: 7, pad: 3, stride: 2 },
  { batch: 256, from: 96, to: 96, size: 14, kernel: 3, pad: 1, group: 96 },
  { batch: 256, from: 96, to: 96, size: 28, kernel: 3, pad: 1, stride: 2, group: 96 },
  { batch: 32, from: 64, to: 64, size: 32, kernel: 3, pad: 1, group: 64 },
  { batch: 64, from: 64, to: 64, size: 14, kernel: 3, pad: 1, group: 4 },
];

const columns = ["convolution", "windows", "places", "channels", "matrices", "transposed"];

/** Formulations that can say a gradient, under the option that asks for one. */
const ways = {
  weight: (s: Shape) => ["convolution-weight", weightFormulations(weightShape(s))] as const,
  input: ({ stride = 1 }: Shape) =>
    ["convolution-input", stride === 1 ? ["transposed", "convolution"] : ["transposed"]] as const,
};

/** What a step of training takes for a convolution's gradients, said in each way that there is. */
export const gradientFormulations: Benchmark = {
  name: "gradient-formulations",
  about: "milliseconds of the gradients of convolutions in each formulation, and which one is chosen",
  async run(ctx) {
    const cases: BenchCase[] = [];
    let worst = 1;
    for (const shape of ctx.quick ? shapes.slice(0, 2) : shapes)
      for (const by of ["weight", "input"] as const) {
        ctx.signal.throwIfAborted();
        const name = `${nameOf(shape)}, ${by}`;
        ctx.progress(name);
        const [option, all] = ways[by](shape);
        const said = all.map((way) => [way, gradientOf(shape, by, { [option]: way })] as const);
        const chosen = print(gradientOf(shape, by, {}));
        const choice = said.find(([, model]) => print(model) === chosen)?.[0];
        if (choice === undefined) throw new Error(`${name}: what is chosen is none of ${all.join(", ")}`);
        const times: Record<string, number> = {};
        for (const [way, model] of said) times[way] = await time(model, ctx.signal);
        worst = Math.max(worst, times[choice]! / Math.min(...Object.values(times)));
        cases.push({ name, choice, ...times });
      }
    return {
      figures: { worstChoice: Math.round(worst * 100) / 100 },
      cases: cases.map((c) => ({ ...emptyRow, ...c })),
      notes: ["fastest of several runs on 2 threads; a missing number is a formulation that cannot say it"],
    };
  },
};

const emptyRow = Object.fromEntries(["name", "choice", ...columns].map((k) => [k, ""])) as BenchCase;

const nameOf = ({ batch, from, to, size, kernel, stride = 1, group = 1 }: Shape) =>
  `${batch} x ${from}->${to}, ${size}x${size}, ${kernel}x${kernel}${stride > 1 ? ` /${stride}` : ""}${group > 1 ? ` in ${group}` : ""}`;

const outputSize = ({ size, kernel, pad = 0, stride = 1 }: Shape) => Math.floor((size + 2 * pad - kernel) / stride) + 1;

function weightShape(s: Shape): WeightShape {
  const { group = 1 } = s;
  const square = (n: number) => [n, n];
  return {
    batch: s.batch,
    group,
    outputs: s.to / group,
    inputs: s.from / group,
    kernel: square(s.kernel),
    input: square(s.size),
    output: square(outputSize(s)),
  };
}

function gradientOf(s: Shape, by: "weight" | "input", formulations: Readonly<Record<string, string>>): Model {
  const { pad = 0, stride = 1, group = 1 } = s;
  const b = buildGraph();
  const x = b.input("float32", [s.batch, s.from, s.size, s.size], "x");
  const w = b.input("float32", [s.to, s.from / group, s.kernel, s.kernel], "w");
  const g = b.input("float32", [s.batch, s.to, outputSize(s), outputSize(s)], "g");
  const y = b.op("Conv", [x, w], {
    pads: attr.ints([pad, pad, pad, pad]),
    strides: attr.ints([stride, stride]),
    group: attr.int(group),
  });
  const loss = b.op("ReduceSum", [b.op("Mul", [y, g])], { keepdims: attr.int(0) });
  b.output(loss, "float32", []);
  const of = by === "weight" ? w : x;
  const { model, gradients } = differentiate(b.model(), { loss, by: [of], formulations });
  return withOutput(model, gradients.get(of)!);
}

/** The model with one output, and what that needs. */
function withOutput(model: Model, output: string): Model {
  const { main } = viewOf(model);
  const needed = new Set<string>();
  const visit = (name: string) => {
    const node = main.producer(name);
    if (!node || needed.has(name)) return;
    for (const v of node.outputs) needed.add(v);
    for (const v of node.inputs) if (v) visit(v);
  };
  visit(output);
  const nodes = main.graph.nodes.filter((n) => n.outputs.some((v) => needed.has(v)));
  return { ...model, graph: { ...model.graph, nodes, outputs: [value(output, "float32")] } };
}

async function time(model: Model, signal: AbortSignal): Promise<number> {
  const fed = new Set(model.graph.nodes.flatMap((n) => n.inputs));
  const inputs = model.graph.inputs.filter((v) => fed.has(v.name));
  const session = await ort().prepare({ ...model, graph: { ...model.graph, inputs } }, { threads: 2, signal });
  try {
    const values = Object.fromEntries(
      inputs.map((v) => {
        const shape = v.type?.kind === "tensor" ? (v.type.shape as number[]) : [];
        const count = shape.reduce((n, d) => n * d, 1);
        return [
          v.name,
          tensor(
            "float32",
            shape,
            Float32Array.from({ length: count }, (_, i) => Math.sin(i)),
          ),
        ];
      }),
    );
    const { minMs } = await session.measure(values, { runs: 9, warmup: 2 });
    return Math.round(minMs * 10) / 10;
  } finally {
    await session.close();
  }
}
