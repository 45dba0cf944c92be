/** Runs a graph node by node in TensorFlow.js. */
import {
  constantNodeValue,
  type DType,
  elementCount,
  type FunctionDef,
  failure,
  type Graph,
  IR_OPSET,
  isPareError,
  type Node,
  operatorOf,
  PareError,
  placeOf,
  type ResidentTensor,
  type Tensor as Weight,
} from "@pare/core";
import { evaluateNode, livesOf, withReferences } from "@pare/ops/evaluate";
import { isInteger, numbersOf } from "@pare/ops/numeric";
import { outputDTypes } from "@pare/ops/schema";
import { branch, type Inner, loop, scan } from "./control.ts";
import { compute, type Engine, type Tensor } from "./engine.ts";
import {
  carrierOf,
  fits,
  fromData,
  type Held,
  kept,
  made,
  madeHere,
  onDevice,
  release,
  retain,
  rounded,
} from "./held.ts";
import { type Call, type Result, type Rule, refuse } from "./rules/call.ts";
import { rules } from "./rules/table.ts";
import type { Steps } from "./steps.ts";

/** What all graphs of a run share. */
export interface Run {
  readonly engine: Engine;
  readonly functions: ReadonlyMap<string, FunctionDef>;
  readonly weights: ReadonlyMap<Weight, Held>;
  /** Types of what a node gives, by those of its inputs; kept for the session. */
  readonly types: Map<Node, readonly (DType | undefined)[]>;
  /** Whether `tf.grads` watches: what was computed stays then until it is done, and nothing is kept of weights. */
  readonly watched: boolean;
  /** What this run has made and not freed yet: what is left of it when it ends early. */
  readonly alive: Set<Held>;
  readonly onEvaluated: (operator: string) => void;
}

interface Frame {
  readonly run: Run;
  readonly scope: Map<string, Held>;
  readonly outer: ((name: string) => Held | undefined) | undefined;
  readonly attributes: Node["attributes"] | undefined;
  readonly depth: number;
}

/** Graphs inside graphs, and functions inside functions, that are gone into. */
const DEPTH_LIMIT = 64;
/** Constants of at most so many elements are computed on this side: they are shapes and the like. */
const SMALL = 1024;
/** Operators whose result may be much larger than what it is made of. */
const growing = new Set(["ConstantOfShape", "EyeLike", "Expand", "OneHot", "Pad", "Resize", "Tile"]);

/**
 * Runs the main graph on `feeds`, which stay the caller's.
 * @param wanted values to read, by name
 * @param carried values that are given back as the session's, on whichever side they are
 */
export function* interpret(
  g: Graph,
  run: Run,
  feeds: ReadonlyMap<string, Held>,
  wanted: ReadonlySet<string>,
  carried: ReadonlySet<string>,
): Steps<{ readonly read: Map<string, ResidentTensor>; readonly held: Map<string, Held> }> {
  const frame: Frame = { run, scope: new Map(), outer: undefined, attributes: undefined, depth: 0 };
  for (const [name, v] of feeds) frame.scope.set(name, retain(v));
  const read = new Map<string, ResidentTensor>();
  yield* nodes(g, frame, function* (name, v) {
    if (wanted.has(name)) read.set(name, yield* contents(v));
  });
  const found = (name: string) => frame.scope.get(name) ?? refuse(`nothing computes ${name}`);
  for (const name of wanted) if (!read.has(name)) read.set(name, yield* contents(found(name)));
  const results = new Map([...carried].map((name) => [name, kept(found(name))]));
  if (!run.watched) for (const v of frame.scope.values()) release(v);
  return { read, held: results };
}

/** The elements of a value on this side. */
export function* contents(v: Held): Steps<ResidentTensor> {
  v.host ??= fromData(v.dtype, v.shape, (yield v.device!)!);
  return v.host;
}

type OnValue = (name: string, v: Held) => Steps<void>;

function* nodes(g: Graph, frame: Frame, onValue?: OnValue): Steps<void> {
  const { run, scope, outer, depth } = frame;
  if (depth > DEPTH_LIMIT) throw failure("tfjs/refused", `graphs are nested more than ${DEPTH_LIMIT} deep`);
  for (const [name, t] of g.weights) if (!scope.has(name)) scope.set(name, retain(run.weights.get(t)!));
  const look = (name: string): Held | undefined => scope.get(name) ?? outer?.(name);
  const { last } = livesOf(g);
  for (const [at, n] of g.nodes.entries()) {
    yield undefined;
    const inputs = n.inputs.map((name) => (name === "" ? undefined : look(name)));
    const results = yield* placed(n, runNode(n, inputs, frame, look));
    for (const [i, name] of n.outputs.entries()) {
      const v = results[i];
      if (!v) continue;
      if (name === "") release(v);
      else {
        scope.set(name, v);
        if (onValue) yield* onValue(name, v);
      }
    }
    if (!run.watched)
      for (const name of last[at]!) {
        const v = scope.get(name);
        if (!v) continue;
        scope.delete(name);
        release(v);
      }
  }
}

/** Errors say at which node they arose; what is none of ours is a failure of the engine. */
function* placed<T>(n: Node, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    if (isPareError(error)) {
      if (error.diagnostics.every((d) => d.location)) throw error;
      const all = error.diagnostics.map((d) => (d.location ? d : { ...d, location: placeOf(n) }));
      throw new PareError(all, { cause: error });
    }
    throw failure("tfjs/failed", `TensorFlow.js failed: ${(error as Error).message ?? error}`, {
      location: placeOf(n),
      cause: error,
    });
  }
}

function* runNode(
  n: Node,
  inputs: readonly (Held | undefined)[],
  frame: Frame,
  look: (name: string) => Held | undefined,
): Steps<readonly (Held | undefined)[]> {
  const { run } = frame;
  const node = frame.attributes ? withReferences(n, frame.attributes) : n;
  const f = run.functions.get(operatorOf(node));
  if (f) {
    const attributes = new Map([...f.defaults, ...node.attributes]);
    return yield* graphOf(f.body, inputs, { ...frame, outer: undefined, attributes });
  }
  const constant = constantNodeValue(n);
  if (constant) return [retain(run.weights.get(constant)!)];
  const inner: Inner = {
    engine: run.engine,
    alive: run.alive,
    run: (g, given) => graphOf(g, given, { ...frame, outer: look }),
    *numbers(v) {
      return numbersOf(yield* contents(v));
    },
  };
  if (node.op === "If") return yield* branch(node, inputs, inner);
  if (node.op === "Loop") return yield* loop(node, inputs, inner);
  if (node.op === "Scan") return yield* scan(node, inputs, inner);
  return yield* byTable(node, inputs, frame);
}

/** Runs a graph inside a node; what it gives is held once for the caller. */
function* graphOf(g: Graph, given: readonly (Held | undefined)[], around: Frame): Steps<Held[]> {
  const scope = new Map<string, Held>();
  g.inputs.forEach(({ name }, i) => {
    const v = given[i];
    if (v) scope.set(name, retain(v));
  });
  yield* nodes(g, { ...around, scope, depth: around.depth + 1 });
  const results = g.outputs.map(({ name }) =>
    retain(scope.get(name) ?? around.outer?.(name) ?? refuse(`nothing computes ${name}`)),
  );
  if (!around.run.watched) for (const v of scope.values()) release(v);
  return results;
}

/** A node of an operator that has a rule: by TensorFlow.js where that computes it exactly, else by the evaluator. */
function* byTable(n: Node, inputs: readonly (Held | undefined)[], frame: Frame): Steps<(Held | undefined)[]> {
  const { run } = frame;
  const rule = rules.get(n.op);
  if (!rule || n.domain !== "") throw failure("tfjs/operator", `${operatorOf(n)} is not said in TensorFlow.js`);
  const dtypes = inputs.map((v) => v?.dtype);
  const outputs = typesOf(n, dtypes, frame);
  if (!isHere(n, inputs, outputs) && rule.takes(dtypes, outputs)) {
    const empty = inputs.some((v, i) => v && !rule.reads.includes(i) && elementCount(v.shape) === 0);
    if (n.op === "Shape" || n.op === "Size" || (!empty && canCarry(rule, inputs, run.engine)))
      return yield* byRule(n, rule, inputs, outputs, run);
  }
  return yield* byEvaluator(n, inputs, run);
}

const typesOf = (n: Node, dtypes: readonly (DType | undefined)[], { run, attributes }: Frame) => {
  const known = attributes ? undefined : run.types.get(n);
  const found =
    known ??
    outputDTypes(
      n,
      dtypes.map((dtype) => ({ dtype })),
      IR_OPSET,
    );
  if (!attributes) run.types.set(n, found);
  return found;
};

/** Whether a node computes with constants only: shapes and what becomes of them. */
function isHere(n: Node, inputs: readonly (Held | undefined)[], outputs: readonly (DType | undefined)[]): boolean {
  if (inputs.length === 0 || inputs.some((v) => v && (v.device || !v.host))) return false;
  if (inputs.reduce((sum, v) => sum + elementCount(v?.shape ?? []), 0) > SMALL) return false;
  return !growing.has(n.op) || (outputs[0] !== undefined && isInteger(outputs[0]));
}

const canCarry = (rule: Rule, inputs: readonly (Held | undefined)[], engine: Engine): boolean =>
  inputs.every((v, i) => !v || rule.reads.includes(i) || v.device || (carrierOf(v.dtype) && fits(v.host!, engine)));

function* byRule(
  n: Node,
  rule: Rule,
  inputs: readonly (Held | undefined)[],
  outputs: readonly (DType | undefined)[],
  run: Run,
): Steps<(Held | undefined)[]> {
  const { engine } = run;
  const { tf } = engine;
  const read = new Map<number, ResidentTensor>();
  for (const i of rule.reads) if (inputs[i]) read.set(i, yield* contents(inputs[i]));
  const sizeOnly = n.op === "Shape" || n.op === "Size";
  const tensors = inputs.map((v, i) => {
    if (!v || rule.reads.includes(i)) return undefined;
    return sizeOnly ? ({ shape: v.shape, size: elementCount(v.shape) } as unknown as Tensor) : onDevice(engine, v);
  });
  // TensorFlow.js differentiates what is chosen by, and has no gradients of comparisons.
  const apart = (x: Tensor) => (run.watched ? tf.tensor(x.dataSync(), x.shape, x.dtype as "bool") : x);
  const call: Call = {
    tf,
    node: n,
    inputs: inputs.map((v) => v?.dtype),
    outputs,
    tensors,
    read,
    watched: run.watched,
    apart,
    kept(input, what, make) {
      const ready = run.watched ? undefined : inputs[input]?.made;
      if (!ready) return make(tensors[input]!);
      const key = `${n.op} ${what}`;
      const known = ready.get(key);
      if (known) return known;
      const t = tf.keep(make(tensors[input]!));
      ready.set(key, t);
      return t;
    },
  };
  const axes = Math.max(0, ...inputs.map((v) => v?.shape.length ?? 0));
  let here: (ResidentTensor | undefined)[] = [];
  const list = compute(
    engine,
    () => {
      const given = rule.compute(call);
      const all: readonly (Result | undefined)[] = Array.isArray(given) ? given : [given as Result];
      here = all.map((r) => (isHost(r) ? r : undefined));
      return all.map((r, i) => {
        if (!r || isHost(r)) return null;
        const dtype = outputs[i];
        const stored = dtype === "float16" || dtype === "bfloat16" ? rounded(tf, r, dtype) : r;
        const own = tensors.includes(stored) ? stored.clone() : stored;
        return own.dtype === "float32" ? own : apart(own);
      }) as Tensor[];
    },
    axes,
  );
  return list.map((t, i) => {
    if (here[i]) return madeHere(run.alive, here[i]);
    if (!t) return undefined;
    return made(run.alive, outputs[i] ?? (t.dtype as DType), t);
  });
}

const isHost = (r: Result | undefined): r is ResidentTensor => r !== undefined && "bytes" in r && "byteLength" in r;

function* byEvaluator(n: Node, inputs: readonly (Held | undefined)[], run: Run): Steps<Held[]> {
  const given: (ResidentTensor | undefined)[] = [];
  for (const v of inputs) given.push(v && (yield* contents(v)));
  const wide = inputs.find((v) => v && (v.dtype === "float64" || !carrierOf(v.dtype)));
  if (wide && !inputs.every((v) => !v || elementCount(v.shape) <= SMALL))
    throw failure("tfjs/dtype", `TensorFlow.js does not compute in ${wide.dtype}`, { hint: "Use float32." });
  const results = evaluateNode(n, given);
  if (!results)
    throw failure("tfjs/dtype", `${operatorOf(n)} of ${given.map((t) => t?.dtype).join(", ")} cannot be computed`);
  run.onEvaluated(n.op);
  return results.map((t) => madeHere(run.alive, t));
}
