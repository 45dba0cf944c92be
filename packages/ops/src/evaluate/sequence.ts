import { attribute, failure, intAttribute, type Node } from "@pare/core";
import { checkShape, type Nd, nd, numbersOf, reshaped, stack, wholeAxis } from "./array.ts";
import type { Budget } from "./budget.ts";
import type { RunGraph } from "./run.ts";
import { concat, split } from "./shape.ts";
import { arrayIn, isSequence, sequenceIn, type Value } from "./value.ts";

/** What a rule over sequences is given. Inputs that were left out are undefined. */
export interface SequenceCall {
  readonly node: Node;
  readonly inputs: readonly (Value | undefined)[];
  readonly run: RunGraph;
  readonly budget: Budget;
}

const scalar = (v: Value | undefined): number => Number(arrayIn(v).data[0]);
const flag = (v: boolean): Nd => ({ dtype: "bool", shape: [], data: Float64Array.of(Number(v)) });

/** A place in a sequence, from its end where negative; one past the end where something is put in. */
function placeIn(items: readonly Value[], position: Value | undefined, extra: 0 | 1): number {
  if (position === undefined) return items.length - 1 + extra;
  return wholeAxis(scalar(position) + (extra && scalar(position) < 0 ? -1 : 0), items.length + extra);
}

function splitToSequence({ node, inputs, budget }: SequenceCall): Value[] {
  const x = arrayIn(inputs[0]);
  const axis = wholeAxis(intAttribute(node, "axis", 0), x.shape.length);
  const size = x.shape[axis]!;
  const given = inputs[1] === undefined ? undefined : arrayIn(inputs[1]);
  const step = given && given.shape.length === 0 ? Number(given.data[0]) : 1;
  if (!(step > 0)) throw failure("ops/shape", `SplitToSequence: parts of ${step}`);
  checkShape([Math.ceil(size / step)]);
  const sizes =
    given && given.shape.length > 0
      ? Array.from(numbersOf(given))
      : Array.from({ length: Math.ceil(size / step) }, (_, i) => Math.min(step, size - i * step));
  const parts = split({ node, inputs: [x, nd("int64", [sizes.length], sizes)], budget });
  const drop = !given && intAttribute(node, "keepdims", 1) === 0;
  return [
    drop
      ? parts.map((p) =>
          reshaped(
            p,
            p.shape.filter((_, k) => k !== axis),
          ),
        )
      : parts,
  ];
}

function sequenceMap({ node, inputs, run, budget }: SequenceCall): Value[] {
  const body = attribute(node, "body", "graph");
  if (!body) throw failure("ops/attribute", "SequenceMap lacks its body");
  const first = sequenceIn(inputs[0]);
  const rows = first.map((_, i) => {
    const row = run(
      body,
      inputs.map((v) => (isSequence(v) ? v[i]! : v!)),
    );
    for (const v of row) budget.hold(v);
    return row;
  });
  for (const v of rows.flat()) budget.release(v);
  return body.outputs.map((_, k) => rows.map((row) => row[k]!));
}

/** Rules of operators whose values may be sequences or optionals. */
export const sequenceRules: ReadonlyMap<string, (call: SequenceCall) => readonly Value[]> = new Map<
  string,
  (call: SequenceCall) => readonly Value[]
>([
  ["SequenceEmpty", () => [[]]],
  ["SequenceConstruct", ({ inputs }: SequenceCall) => [inputs.map(arrayIn)]],
  [
    "SequenceInsert",
    ({ inputs }: SequenceCall) => {
      const items = sequenceIn(inputs[0]);
      return [items.toSpliced(placeIn(items, inputs[2], 1), 0, arrayIn(inputs[1]))];
    },
  ],
  [
    "SequenceErase",
    ({ inputs }: SequenceCall) => {
      const items = sequenceIn(inputs[0]);
      return [items.toSpliced(placeIn(items, inputs[1], 0), 1)];
    },
  ],
  [
    "SequenceAt",
    ({ inputs }: SequenceCall) => {
      const items = sequenceIn(inputs[0]);
      return [items[placeIn(items, inputs[1], 0)]!];
    },
  ],
  ["SequenceLength", ({ inputs }: SequenceCall) => [nd("int64", [], [sequenceIn(inputs[0]).length])]],
  ["SplitToSequence", splitToSequence],
  [
    "ConcatFromSequence",
    ({ node, inputs, budget }: SequenceCall) => {
      const parts = sequenceIn(inputs[0]).map(arrayIn);
      if (intAttribute(node, "new_axis", 0) === 1) return [stack(parts, intAttribute(node, "axis", 0))];
      return concat({ node, inputs: parts, budget });
    },
  ],
  ["SequenceMap", sequenceMap],
  ["Optional", ({ inputs }: SequenceCall) => [inputs[0] ?? null]],
  ["OptionalHasElement", ({ inputs }: SequenceCall) => [flag((inputs[0] ?? null) !== null)]],
  [
    "OptionalGetElement",
    ({ inputs }: SequenceCall) => {
      if ((inputs[0] ?? null) === null) throw failure("ops/empty", "an optional without an element was asked for it");
      return [inputs[0]!];
    },
  ],
]);
