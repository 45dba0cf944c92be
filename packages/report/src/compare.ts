import {
  type DType,
  elementCount,
  failure,
  type Model,
  type Progress,
  type ResidentTensor,
  type Runtime,
  type Samples,
  type Session,
  type Values,
  viewOf,
} from "@pare/core";
import { type Jump, jumpOf } from "./jump.ts";
import { addTensors } from "./numbers.ts";
import { fitInputs, innerPairs, outputPairs, type Pair } from "./pairs.ts";
import { tapSlices } from "./slices.ts";
import { type ErrorFigures, figuresOf, newSums, type Sums } from "./sums.ts";

/** One side of a comparison: a model and what runs it. */
export interface Subject {
  /** For people: `classifier.onnx`. */
  readonly name: string;
  readonly model: Model;
  readonly runtime: Runtime;
  /** When given, outputs come from running this very file, so that what is verified is what was written. */
  readonly file?: string;
}

export interface CompareOptions {
  /** Inputs of the reference. */
  readonly samples: Samples;
  /** `all` compares inner values of the main graph too. Default `outputs`. */
  readonly values?: "outputs" | "all";
  /** Most bytes that inner values of the two models may take at once. Default 512 MiB. */
  readonly memoryBudget?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** How one value of the second model differs from the first's, over all samples. */
export interface ValueComparison extends ErrorFigures {
  /** Its name in the reference. */
  readonly name: string;
  /** Its name in the other model, where that is another. */
  readonly otherName?: string;
  readonly kind: "output" | "inner";
  /** The operator that writes it in the reference, `domain.op`; empty for an input. */
  readonly op: string;
  /** Place among the nodes of the reference. */
  readonly position: number;
  readonly dtypes: readonly [DType, DType];
  /** Shape of the first sample's value, in each. */
  readonly shapes: readonly [readonly number[], readonly number[]];
  /** Why it could not be compared on some sample: shapes that differ. */
  readonly mismatch?: string;
}

export interface Comparison {
  /** Names of the two: the reference, and what is measured against it. */
  readonly reference: string;
  readonly other: string;
  readonly samples: number;
  /** All values, worst first: what has another shape, what is no longer finite, then by SQNR. */
  readonly values: readonly ValueComparison[];
  /** The outputs in the reference's order. */
  readonly outputs: readonly ValueComparison[];
  /** Where in the graph the error first jumps, if it does. */
  readonly jump?: Jump;
  /** What a reader should know: values matched by position, inputs converted, values that only one has. */
  readonly notes: readonly string[];
}

const BUDGET = 512 << 20;

/**
 * Runs two models on the same samples and measures every value that both have: a reference first, what came of it second.
 * Memory does not grow with the number of samples. SQNR is `10 log10(sum of ref² / sum of (ref - got)²)` over all samples;
 * it is infinite for what is identical.
 * @throws PareError `report/no-samples`, `report/outputs` when no output can be matched; what the runtimes throw
 */
export async function compare(a: Subject, b: Subject, options: CompareOptions): Promise<Comparison> {
  const { samples, signal, onProgress, values = "outputs", memoryBudget = BUDGET, threads } = options;
  const notes: string[] = [];
  const outputs = outputPairs(a.model, b.model, notes);
  if (outputs.length === 0)
    throw failure("report/outputs", `${a.name} and ${b.name} have no output to compare`, {
      hint: "They are not two versions of one model.",
    });
  const inner = values === "all" ? innerPairs(a.model, b.model, outputs) : [];
  const sums = new Map<Pair, PairSums>();
  const settings = { ...(signal ? { signal } : {}), ...(threads === undefined ? {} : { threads }) };
  const sessions: Session[] = [];
  const open = async (s: Subject, taps?: readonly string[]) => {
    const session =
      s.file !== undefined && s.runtime.prepareFile && !taps
        ? await s.runtime.prepareFile(s.file, settings)
        : await s.runtime.prepare(s.model, { ...settings, ...(taps ? { taps, memoryBudget: memoryBudget / 2 } : {}) });
    sessions.push(session);
    return session;
  };
  let count = 0;
  try {
    const plain = [await open(a), await open(b)] as const;
    const tapped =
      inner.length > 0 &&
      ([
        await open(
          a,
          inner.map((p) => p.a),
        ),
        await open(
          b,
          inner.map((p) => p.b),
        ),
      ] as const);
    const fit = fitInputs(a.model, b.model, notes);
    const slices = tapSlices(inner, memoryBudget);
    for await (const sample of samples.open(signal)) {
      signal?.throwIfAborted();
      const inputs = [sample, fit(sample)] as const;
      await runBoth(plain, inputs, outputs, sums, signal);
      if (tapped) for (const slice of slices()) slice.done(await runBoth(tapped, inputs, slice.pairs, sums, signal));
      count++;
      onProgress?.({
        task: `compare ${b.name}`,
        done: count,
        ...(samples.count === undefined ? {} : { total: samples.count }),
        unit: "samples",
      });
    }
  } finally {
    await Promise.all(sessions.map((s) => s.close()));
  }
  if (count === 0) throw failure("report/no-samples", "there is not one sample to compare on");

  const positions = writers(a.model);
  const compared = [...outputs, ...inner].flatMap((p): ValueComparison[] => {
    const s = sums.get(p);
    const writer = positions.get(p.a);
    return s
      ? [
          {
            name: p.a,
            ...(p.b === p.a ? {} : { otherName: p.b }),
            kind: p.kind,
            op: writer?.op ?? "",
            position: writer?.position ?? -1,
            dtypes: s.dtypes,
            shapes: s.shapes,
            ...figuresOf(s.sums),
            ...(s.mismatch === undefined ? {} : { mismatch: s.mismatch }),
          },
        ]
      : [];
  });
  const jump = jumpOf(a.model, compared);
  return {
    reference: a.name,
    other: b.name,
    samples: count,
    values: compared.toSorted(worstFirst),
    outputs: compared.filter((v) => v.kind === "output"),
    ...(jump ? { jump } : {}),
    notes,
  };
}

interface PairSums {
  readonly sums: Sums;
  readonly dtypes: readonly [DType, DType];
  readonly shapes: readonly [readonly number[], readonly number[]];
  mismatch?: string;
}

/** Runs both models for some pairs, adds to their sums, and tells the bytes that each pair took. */
async function runBoth(
  [sessionA, sessionB]: readonly [Session, Session],
  [inputsA, inputsB]: readonly [Values, Values],
  pairs: readonly Pair[],
  sums: Map<Pair, PairSums>,
  signal?: AbortSignal,
): Promise<Map<Pair, number>> {
  const more = signal ? { signal } : {};
  const valuesA = await sessionA.run(inputsA, { outputs: pairs.map((p) => p.a), ...more });
  const valuesB = await sessionB.run(inputsB, { outputs: pairs.map((p) => p.b), ...more });
  const bytes = new Map<Pair, number>();
  for (const p of pairs) {
    const x = valuesA[p.a];
    const y = valuesB[p.b];
    // An engine may have no value to give: an optional output, a sequence.
    if (!x || !y) continue;
    bytes.set(p, x.byteLength + y.byteLength);
    let s = sums.get(p);
    if (!s) sums.set(p, (s = { sums: newSums(), dtypes: [x.dtype, y.dtype], shapes: [x.shape, y.shape] }));
    const mismatch = shapeMismatch(x, y) ?? addTensors(s.sums, x, y);
    if (mismatch) s.mismatch ??= mismatch;
  }
  return bytes;
}

function shapeMismatch(a: ResidentTensor, b: ResidentTensor): string | undefined {
  const same = a.shape.length === b.shape.length && a.shape.every((d, i) => d === b.shape[i]);
  // Scalars and one-element tensors hold the same.
  if (same || (elementCount(a.shape) === 1 && elementCount(b.shape) === 1)) return undefined;
  return `has shape [${a.shape}] and became [${b.shape}]`;
}

const writers = (model: Model) =>
  new Map(
    viewOf(model).main.graph.nodes.flatMap((n, position) =>
      n.outputs.map((v) => [v, { position, op: n.domain === "" ? n.op : `${n.domain}.${n.op}` }] as const),
    ),
  );

const badness = (v: ValueComparison): number => (v.mismatch !== undefined ? 2 : v.broken > 0 ? 1 : 0);
const worstFirst = (x: ValueComparison, y: ValueComparison): number =>
  badness(y) - badness(x) || (x.sqnrDb === y.sqnrDb ? x.position - y.position : x.sqnrDb - y.sqnrDb);
