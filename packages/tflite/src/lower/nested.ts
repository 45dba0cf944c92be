import { type Context, refuse, type Sink } from "./context.ts";
import type { Program, Step, Val } from "./program.ts";

/** Most times that the body of a loop is written out; more often it is a WHILE. */
const MOST_TURNS = 256;

/** Steps for a graph of their own, and what it gives. */
interface Part {
  readonly steps: readonly Step[];
  readonly results: readonly Val[];
}

/** Lowers something into a graph of its own. */
export function apart(sink: Sink, make: (inner: Sink) => readonly Val[]): Part {
  const inner: Sink = { ...sink, steps: [] };
  const results = make(inner);
  return { steps: inner.steps, results };
}

/** What parts read of what is around them; constants are everywhere. */
function captured(parts: readonly Part[], own: readonly Val[] = []): readonly Val[] {
  const known = new Set(own);
  const found = new Set<Val>();
  const read = (v: Val | undefined) => {
    if (v && !v.data && !known.has(v)) found.add(v);
  };
  for (const { steps, results } of parts) {
    for (const s of steps) {
      for (const arg of s.inputs) read(arg?.value);
      for (const arg of s.outputs) known.add(arg.value);
    }
    results.forEach(read);
  }
  return [...found];
}

const programOf = ({ steps, results }: Part, inputs: readonly Val[]): Program => ({
  inputs,
  outputs: results.map((value) => ({ name: value.name, value })),
  steps,
});

/** One of two parts, whose results are of the same types, by a condition []. */
export function chosen(c: Context, condition: Val, yes: Part, no: Part): readonly Val[] {
  const around = captured([yes, no]);
  return c.addMany("IF", [condition, ...around], yes.results, {}, [programOf(yes, around), programOf(no, around)]);
}

/** Whether values are of the same types. */
export const areAlike = (a: readonly Val[], b: readonly Val[]) =>
  a.length === b.length && a.every((v, i) => v.dtype === b[i]!.dtype && `${v.shape}` === `${b[i]!.shape}`);

/** What is done again and again with values that keep their types. */
export interface Repetition {
  readonly state: readonly Val[];
  /** Whether it goes on, [], asked before each time. */
  readonly goesOn: (c: Context, state: readonly Val[]) => Val;
  readonly body: (c: Context, state: readonly Val[]) => readonly Val[];
}

/** The state in the end. */
export function repeated(c: Context, { state, goesOn, body }: Repetition): readonly Val[] {
  const inside = (make: Repetition["body"]): { readonly part: Part; readonly own: readonly Val[] } => {
    const own = state.map((v) => c.sink.fresh(v.shape, v.dtype));
    return { part: apart(c.sink, (sink) => make(c.within(sink), own)), own };
  };
  const [test, turn] = [inside((k, own) => [goesOn(k, own)]), inside(body)];
  const around = captured([test.part, turn.part], [...test.own, ...turn.own]);
  const kept = { ...turn.part, results: [...turn.part.results, ...around] };
  const graphs = [programOf(test.part, [...test.own, ...around]), programOf(kept, [...turn.own, ...around])];
  const all = [...state, ...around];
  return c.addMany("WHILE", all, all, {}, graphs).slice(0, state.length);
}

/** What one turn of a loop gives: the state after it, and a part of each stacked output. */
interface Turn {
  readonly state: readonly Val[];
  readonly parts: readonly Val[];
}

/**
 * Does something `count` times: written out, or often as WHILE. `turn` is given its number as an int32 []. The parts are stacked
 * along a new first dimension.
 */
export function times(
  c: Context,
  count: number,
  state: readonly Val[],
  turn: (c: Context, number: Val, state: readonly Val[]) => Turn,
  most = MOST_TURNS,
): Turn {
  if (count <= most) {
    const turns: Turn[] = [];
    for (let i = 0; i < count; i++) turns.push(turn(c, c.scalar(i, "int32"), turns.at(-1)?.state ?? state));
    const first = turns[0]?.parts ?? [];
    const parts = first.map((_, k) => {
      const each = turns.map((t) => t.parts[k]!);
      return c.concat(
        each.map((v) => c.reshape(v, [1, ...v.shape])),
        0,
      );
    });
    return { state: turns.at(-1)?.state ?? state, parts };
  }
  // What the parts are like is seen in a turn that is thrown away.
  let like: readonly Val[] = [];
  apart(c.sink, (sink) => {
    like = turn(c.within(sink), c.sink.fresh([], "int32"), state).parts;
    return like;
  });
  const stacks = like.map((v) => {
    const shape = [count, ...v.shape];
    return c.add("FILL", [c.ints(shape), c.scalar(0, v)], { shape, dtype: v.dtype });
  });
  const all = repeated(c, {
    state: [c.scalar(0, "int32"), ...state, ...stacks],
    goesOn: (k, [number]) => k.binary("LESS", number!, k.scalar(count, "int32"), "bool"),
    body(k, [number, ...rest]) {
      const before = rest.slice(0, state.length);
      const { state: after, parts } = turn(k, number!, before);
      if (!areAlike(before, after)) refuse("a value that it carries changes its type");
      const filled = parts.map((v, i) => {
        const start = k.concat(
          [k.reshape(number!, [1]), ...(v.shape.length > 0 ? [k.ints(v.shape.map(() => 0))] : [])],
          0,
        );
        const stack = rest[state.length + i]!;
        const part = k.reshape(v, [1, ...v.shape]);
        return k.add("DYNAMIC_UPDATE_SLICE", [stack, part, start], { shape: stack.shape, dtype: stack.dtype });
      });
      return [k.binary("ADD", number!, k.scalar(1, "int32")), ...after, ...filled];
    },
  });
  return { state: all.slice(1, 1 + state.length), parts: all.slice(1 + state.length) };
}

/** The part of a value with this number along an axis, without that axis. */
export function at(c: Context, v: Val, axis: number, number: Val): Val {
  const known = c.numbers(number)?.[0];
  if (known === undefined) return c.gather(v, number, axis);
  return c.reshape(
    c.part(v, axis, known, 1),
    v.shape.filter((_, i) => i !== axis),
  );
}

/** The number of a turn counted from the last of `count`. */
export function fromEnd(c: Context, number: Val, count: number): Val {
  const known = c.numbers(number)?.[0];
  const last = c.scalar(count - 1, "int32");
  return known === undefined ? c.binary("SUB", last, number) : c.scalar(count - 1 - known, "int32");
}
