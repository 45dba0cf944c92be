import { failure, isFloat, type Model, type ResidentTensor, type ValueInfo, type Values, viewOf } from "@pare/core";
import { numbersOf, tensorOf } from "@pare/ops/numeric";

/** A value of the reference and the one of the other model that it is compared with. */
export interface Pair {
  readonly a: string;
  readonly b: string;
  readonly kind: "output" | "inner";
}

/** Outputs that belong together: by name, and what is left by position. */
export function outputPairs(a: Model, b: Model, notes: string[]): Pair[] {
  const matched = matchInfos(a.graph.outputs, b.graph.outputs, "output", notes);
  return matched.map(([x, y]) => ({ a: x.name, b: y.name, kind: "output" }));
}

function matchInfos(
  a: readonly ValueInfo[],
  b: readonly ValueInfo[],
  what: string,
  notes: string[],
): (readonly [ValueInfo, ValueInfo])[] {
  const byName = new Map(b.map((v) => [v.name, v]));
  const names = new Set(a.map((v) => v.name));
  const free = b.filter((v) => !names.has(v.name));
  return a.flatMap((v) => {
    const same = byName.get(v.name);
    if (same) return [[v, same] as const];
    const other = free.shift();
    notes.push(
      other
        ? `${what} ${v.name} has no namesake and is compared with ${other.name} by position`
        : `${what} ${v.name} is missing in the other model`,
    );
    return other ? [[v, other] as const] : [];
  });
}

/** Inner values of the main graphs that both models compute under one name. */
export function innerPairs(a: Model, b: Model, outputs: readonly Pair[]): Pair[] {
  const taken = new Set(outputs.map((p) => p.a));
  const other = viewOf(b).main;
  return viewOf(a).main.graph.nodes.flatMap((n) =>
    n.op === "Constant" && n.domain === ""
      ? []
      : n.outputs.flatMap((name): Pair[] => {
          const writer = name !== "" && !taken.has(name) ? other.producer(name) : undefined;
          return writer && writer.op !== "Constant" ? [{ a: name, b: name, kind: "inner" }] : [];
        }),
  );
}

/**
 * Makes samples of the reference into inputs of the other model: renamed by position where names differ, converted
 * where the element type does.
 */
export function fitInputs(a: Model, b: Model, notes: string[]): (sample: Values) => Values {
  const given = (m: Model) => m.graph.inputs.filter((v) => !m.graph.weights.has(v.name));
  const plan = matchInfos(given(a), given(b), "input", notes).map(([x, y]) => ({
    from: x.name,
    to: y.name,
    dtype: y.type?.kind === "tensor" ? y.type.dtype : undefined,
  }));
  const told = new Set<string>();
  return (sample) => {
    const known = new Map(plan.map((p) => [p.from, p]));
    return Object.fromEntries(
      Object.entries(sample).map(([name, t]) => {
        const to = known.get(name);
        if (!to?.dtype || to.dtype === t.dtype) return [to?.to ?? name, t];
        if (!told.has(name))
          notes.push(`input ${name} is ${t.dtype} and is converted to ${to.dtype} for the other model`);
        told.add(name);
        return [to.to, fitted(t, to.dtype, name)];
      }),
    );
  };
}

function fitted(t: ResidentTensor, dtype: ResidentTensor["dtype"], name: string): ResidentTensor {
  if (!isFloat(t.dtype) || !isFloat(dtype))
    throw failure("report/input-type", `the input is ${t.dtype} in the reference and ${dtype} in the other model`, {
      location: { value: name },
    });
  return tensorOf(dtype, t.shape, numbersOf(t));
}
