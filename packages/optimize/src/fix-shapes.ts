import { type Dim, definePass, edit, failure, type Model, PASS_API_VERSION, type ValueInfo, viewOf } from "@pare/core";
import { inferTypes, substitute } from "@pare/ops/infer";
import * as z from "zod";

const size = z.int().min(1);

/**
 * Fixes dimensions: of a symbol (`fixShapes({ N: 1 })`), or all of an input (`fixShapes({ image: [1, 3, 224, 224] })`).
 * Inputs, outputs and the types of inner values say numbers afterwards; `foldConstants` then computes what follows from
 * them.
 * @throws PareError `optimize/fix-shapes` for a name that is neither a symbol nor an input, for a shape that an input
 *   cannot have, and for two sizes of one symbol
 */
export const fixShapes = definePass({
  name: "fix-shapes",
  apiVersion: PASS_API_VERSION,
  options: z.record(z.string(), z.union([size, z.array(size)])),
  run(model, sizes) {
    const bindings = bindingsOf(model, sizes);
    const fix = (info: ValueInfo): ValueInfo => {
      const given = sizes[info.name];
      return withShape(info, (shape) => (Array.isArray(given) ? given : shape?.map((d) => substitute(d, bindings))));
    };
    const fixed = edit(model, (e) => {
      const inputs = model.graph.inputs.map(fix);
      if (inputs.some((v, i) => v !== model.graph.inputs[i])) e.setGraph(e.view.main, { inputs });
    });
    if (fixed === model) return model;
    const types = inferTypes(fixed);
    return edit(fixed, (e) => {
      for (const view of viewOf(fixed).graphs) {
        const inferred = (info: ValueInfo): ValueInfo =>
          withShape(info, (shape) => {
            const type = types.of(view, info.name);
            const found = type?.kind === "tensor" ? type.shape : undefined;
            return found?.map((d, i) => d ?? shape?.[i] ?? null) ?? shape;
          });
        for (const info of view.graph.types.values()) e.setType(view, inferred(info));
        if (!view.parent && view.path === "") e.setGraph(view, { outputs: fixed.graph.outputs.map(inferred) });
      }
    });
  },
});

type Sizes = Readonly<Record<string, number | readonly number[]>>;

/** The numbers that symbols stand for, those that follow from shapes of inputs among them. */
function bindingsOf(model: Model, sizes: Sizes): ReadonlyMap<string, number> {
  const bindings = new Map<string, number>();
  const bind = (symbol: string, to: number, by: string) => {
    const before = bindings.get(symbol);
    if (before !== undefined && before !== to) fail(`${symbol} would be ${before} and, by ${by}, ${to}`, by);
    bindings.set(symbol, to);
  };
  const inputs = new Map(model.graph.inputs.map((v) => [v.name, v]));
  for (const [name, given] of Object.entries(sizes)) {
    if (typeof given === "number") {
      bind(name, given, name);
      continue;
    }
    const type = inputs.get(name)?.type;
    if (!inputs.has(name))
      fail(`the model has no input ${name}: its inputs are ${[...inputs.keys()].join(", ")}`, name);
    if (type && type.kind !== "tensor") fail(`${name} is no tensor`, name);
    const shape = type?.kind === "tensor" ? type.shape : undefined;
    if (shape && shape.length !== given.length)
      fail(`${name} has ${shape.length} dimensions [${shape.map((d) => d ?? "?")}], not [${given}]`, name);
    for (const [i, d] of (shape ?? []).entries()) {
      if (typeof d === "number" && d !== given[i]) fail(`dimension ${i} of ${name} is ${d}, not ${given[i]}`, name);
      if (typeof d === "string" && /^[\w.]+$/.test(d)) bind(d, given[i]!, name);
    }
  }
  const known = symbolsOf(model);
  for (const [name, given] of Object.entries(sizes))
    if (typeof given === "number" && !known.has(name))
      fail(`no input has a dimension ${name}: there is ${[...known].join(", ") || "none by a name"}`, name);
  return bindings;
}

/** Names that stand in the dimensions of inputs. */
function symbolsOf(model: Model): ReadonlySet<string> {
  const shapes = model.graph.inputs.flatMap(({ type }) => (type?.kind === "tensor" && type.shape) || []);
  return new Set(shapes.flatMap((d) => (typeof d === "string" ? (d.match(/[A-Za-z_][\w.]*/g) ?? []) : [])));
}

/** The value with another shape; the same one when the shape is as it was. */
function withShape(info: ValueInfo, map: (shape: readonly Dim[] | undefined) => readonly Dim[] | undefined): ValueInfo {
  const { type } = info;
  if (type?.kind !== "tensor") return info;
  const shape = map(type.shape);
  const isSame = shape?.length === type.shape?.length && (shape ?? []).every((d, i) => d === type.shape![i]);
  return isSame ? info : { ...info, type: { ...type, shape } };
}

function fail(message: string, name: string): never {
  throw failure("optimize/fix-shapes", message, {
    location: { value: name },
    hint: "Give a number for a symbol of the inputs' dimensions, or a whole shape for an input.",
  });
}
