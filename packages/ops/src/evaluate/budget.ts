import { failure } from "@pare/core";
import { checkShape } from "./array.ts";
import { isArray, type Value } from "./value.ts";

/** Bounds on one evaluation, beyond which it is refused. */
export interface EvaluateLimits {
  /** Most elements of computed values that are held at once; each takes 8 bytes. Default 2^24. */
  readonly elements?: number;
  /** Most steps, of the length of a multiplication, that all nodes take together. Default 2^30. */
  readonly steps?: number;
}

const ELEMENTS = 2 ** 24;
const STEPS = 2 ** 30;

/** What running a node or a graph once takes beside its work, in steps. */
const ONCE = 2 ** 12;
/** What each element takes that is written and that is read, in steps. */
const WRITTEN = 2 ** 5;
const READ = 2 ** 3;

/** What an evaluation has used of its limits. */
export class Budget {
  readonly #elements: number;
  readonly #steps: number;
  #held = 0;
  #spent = 0;

  constructor({ elements = ELEMENTS, steps = STEPS }: EvaluateLimits = {}) {
    this.#elements = elements;
    this.#steps = steps;
  }

  /** Before work is done. @throws PareError `ops/too-long` */
  spend(steps: number): void {
    this.#spent += steps;
    if (!(this.#spent <= this.#steps))
      throw failure("ops/too-long", `this takes more than ${this.#steps} steps, the most that are evaluated`, {
        hint: "Give limits.steps to evaluate larger models.",
      });
  }

  /** Before a node or a graph runs on values. @throws PareError `ops/too-long` */
  start(inputs: readonly (Value | undefined)[] = []): void {
    for (const v of inputs) if (v && isArray(v) && v.data.length === 0) checkShape(v.shape);
    this.spend(inputs.reduce((steps, v) => steps + READ * elementsOf(v ?? null), ONCE));
  }

  /** What a node has computed. @throws PareError `ops/too-long`, `ops/too-large`, `ops/shape` */
  hold(v: Value): void {
    const count = elementsOf(v);
    if (v && isArray(v)) checkShape(v.shape);
    this.spend(WRITTEN * count);
    this.#held += count;
    if (!(this.#held <= this.#elements))
      throw failure("ops/too-large", `values of more than ${this.#elements} elements, the most that are held at once`, {
        hint: "Give limits.elements to evaluate larger models.",
      });
  }

  /** What was held and is not needed any more. */
  release(v: Value): void {
    this.#held -= elementsOf(v);
  }
}

/** An item of a sequence counts as some elements more than it has. */
const ITEM = 32;

const elementsOf = (v: Value): number =>
  v === null ? 0 : isArray(v) ? v.data.length : v.reduce((n: number, item) => n + ITEM + elementsOf(item), 0);
