import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  byteLengthOf,
  elementCount,
  failure,
  isFloat,
  type Model,
  type ResidentTensor,
  type Samples,
  samplesFrom,
  tensor,
  type ValueInfo,
  type Values,
} from "@pare/core";
import { openSource, readIdx, readNpy, readNpz } from "@pare/io";
import { isInteger, numbersOf, tensorOf } from "@pare/ops/numeric";
import { images, imagesIn } from "./images/images.ts";
import type { Preprocessing } from "./images/preprocess.ts";

/**
 * Samples from files: arrays that numpy saved (`.npy`, or `.npz` with an array for each input), IDX files, packed or not, or
 * a folder of images, see {@link images}. An array is cut along its first axis: into pieces as large as the input's first
 * dimension (1 where it is free), or, where the array has an axis more than the input, one index each. A folder holds `INPUT.npy`
 * for each input of the model (`/` and `:` of names as `_`), or, for a model of one input, any `.npy` files, which follow each other by name.
 * @throws PareError `pare/samples` when they do not fit the model
 */
export async function samplesFromFiles(
  path: string,
  model: Model,
  preprocessing: Partial<Preprocessing> = {},
): Promise<Samples> {
  const inputs = model.graph.inputs.filter((v) => !model.graph.weights.has(v.name));
  const found = await stat(path).catch(() => undefined);
  if (!found) throw bad(`there is nothing at ${path}`);
  const files = found.isDirectory() ? (await readdir(path)).filter((n) => ARRAY.test(n)).sort() : [];
  if (found.isDirectory() && files.length === 0) {
    if ((await imagesIn(path)).length > 0) return images(path, model, preprocessing);
    throw bad(`the folder ${path} holds neither .npy or IDX files nor images`);
  }
  if (Object.keys(preprocessing).length > 0)
    throw bad(`${path} holds arrays, and what is said of images is not for them`);
  if (path.endsWith(".npz")) return joined(await columnsOf(path, inputs));
  const byInput = new Map(inputs.map((v) => [v, `${v.name.replace(/[/\\:]/g, "_")}.npy`]));
  const named = [...byInput.values()].every((f) => files.includes(f));

  if (found.isDirectory() && named) {
    return joined(
      await Promise.all([...byInput].map(async ([v, f]) => [v.name, await cut(join(path, f), v)] as const)),
    );
  }
  if (inputs.length !== 1)
    throw bad(
      `the model has ${inputs.length} inputs, so ${path} must be a folder with ${[...byInput.values()].join(", ")}`,
    );
  const [input] = inputs as [ValueInfo];
  const paths = found.isDirectory() ? files.map((f) => join(path, f)) : [path];
  return samplesFrom(async function* () {
    for (const file of paths) for (const t of await cut(file, input)) yield { [input.name]: t };
  });
}

/** Files that hold an array: of numpy, and IDX as MNIST names them. */
const ARRAY = /\.(npy|idx|idx\d)(\.gz)?$|-idx\d-ubyte(\.gz)?$/;

type Column = readonly [name: string, pieces: readonly ResidentTensor[]];

/** One sample of what stands at the same place of each column. */
function joined(columns: readonly Column[]): Samples {
  const lengths = new Set(columns.map(([, list]) => list.length));
  if (lengths.size > 1)
    throw bad(
      `the files hold different numbers of samples: ${columns.map(([name, list]) => `${list.length} of ${name}`).join(", ")}`,
    );
  const [length = 0] = lengths;
  return samplesFrom(
    Array.from({ length }, (_, i): Values => Object.fromEntries(columns.map(([name, list]) => [name, list[i]!]))),
  );
}

/** The array of each input in an `.npz` file; of a model with one input, the only array, whatever its name. */
async function columnsOf(path: string, inputs: readonly ValueInfo[]): Promise<Column[]> {
  const source = await openSource(path);
  const arrays = await readNpz(source).finally(() => source.close());
  return inputs.map((v) => {
    const array =
      arrays.get(v.name) ?? (inputs.length === 1 && arrays.size === 1 ? [...arrays.values()][0] : undefined);
    if (!array) throw bad(`${path} has no array ${v.name}; it has ${[...arrays.keys()].join(", ")}`, v.name);
    return [v.name, pieces(array, v, path)] as const;
  });
}

const bad = (message: string, value?: string) =>
  failure("pare/samples", message, {
    hint: "See “Samples” in the README of pare.",
    ...(value === undefined ? {} : { location: { value } }),
  });

/** The samples of one file for one input. */
async function cut(file: string, input: ValueInfo): Promise<ResidentTensor[]> {
  const source = await openSource(file);
  const read = file.endsWith(".npy") ? readNpy : readIdx;
  return pieces(await read(source).finally(() => source.close()), input, file);
}

function pieces(array: ResidentTensor, input: ValueInfo, file: string): ResidentTensor[] {
  const { type } = input;
  const whole = converted(array, input, file);
  const wanted = type?.kind === "tensor" ? type.shape : undefined;
  const rank = wanted?.length ?? whole.shape.length;
  if (whole.shape.length !== rank && whole.shape.length !== rank + 1)
    throw bad(`${file} has shape [${whole.shape}], the input ${input.name} has ${rank} dimensions`, input.name);
  if (rank === 0 && whole.shape.length === 0) return [whole];
  const drop = whole.shape.length === rank + 1;
  const length = whole.shape[0]!;
  const piece = drop ? 1 : typeof wanted?.[0] === "number" && wanted[0] > 0 ? wanted[0] : 1;
  if (length % piece !== 0)
    throw bad(`${file} holds ${length} along its first axis, which is no multiple of the input's ${piece}`, input.name);
  const shape = drop ? whole.shape.slice(1) : [piece, ...whole.shape.slice(1)];
  const size = byteLengthOf(whole.dtype, elementCount(shape));
  return Array.from({ length: length / piece }, (_, i) =>
    tensor(whole.dtype, shape, whole.bytes.slice(i * size, (i + 1) * size)),
  );
}

/** numpy makes float64 and int64 unless told otherwise. */
function converted(t: ResidentTensor, input: ValueInfo, file: string): ResidentTensor {
  const dtype = input.type?.kind === "tensor" ? input.type.dtype : t.dtype;
  if (dtype === t.dtype) return t;
  const alike = (isFloat(dtype) && t.dtype !== "string") || (isInteger(dtype) && isInteger(t.dtype));
  if (!alike) throw bad(`${file} is ${t.dtype}, the input ${input.name} takes ${dtype}`, input.name);
  return tensorOf(dtype, t.shape, numbersOf(t));
}
