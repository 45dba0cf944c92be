import {
  attr,
  dataOf,
  IR_OPSET,
  isPareError,
  type ResidentTensor,
  type Runtime,
  type Session,
  tensor,
  type Values,
} from "@pare/core";
import { buildGraph } from "@pare/ops/build";
import { expectThat, type Law, law, problemsOf, rejectionOf } from "./law.ts";

export interface RuntimeLawOptions {
  /** Laws that do not apply, by their name, each with the reason: `{ "keeps state between runs": "the engine has none" }`. */
  readonly skip?: Readonly<Record<string, string>>;
}

/** The laws of a runtime, on models of `Add`, `MatMul` and `Relu` in float32. */
export function runtimeLaws(runtime: Runtime, { skip = {} }: RuntimeLawOptions = {}): Law[] {
  const rule = (name: string, check: () => Promise<void>) => law(`${runtime.name}: ${name}`, check, skip[name]);
  const opsets = new Map([["", IR_OPSET]]);
  const network = () => {
    const b = buildGraph();
    const x = b.input("float32", ["N", 2], "x");
    const h = b.op("MatMul", [x, b.weight(tensor("float32", [2, 3], [1, -2, 3, 4, 5, -6]))]);
    const y = b.op("Relu", [h]);
    b.output(y, "float32", ["N", 3]);
    return { model: b.model({ opsets }), h, y };
  };
  const x = (...rows: number[]) => ({ x: tensor("float32", [rows.length / 2, 2], rows) });
  const numbers = (t: ResidentTensor | undefined) =>
    t ? Array.from(dataOf(t as ResidentTensor<"float32">)) : undefined;
  const expectValues = (t: ResidentTensor | undefined, expected: readonly number[]) =>
    expectThat(
      `${numbers(t)}` === `${expected}`,
      "wrong-answer",
      `${runtime.name} gave ${numbers(t)} where ${expected} is right`,
    );
  const using = async (make: Promise<Session>, use: (s: Session) => Promise<void>) => {
    const session = await make;
    try {
      await use(session);
    } finally {
      await session.close();
    }
  };
  return [
    rule("computes, and says what goes in and out", async () => {
      const { model, y } = network();
      await using(runtime.prepare(model), async (s) => {
        expectThat(
          `${s.inputs.map((v) => v.name)}` === "x" && `${s.outputs.map((v) => v.name)}` === y,
          "names",
          "the session has other inputs or outputs than the model",
        );
        const out = await s.run(x(1, 1, -1, 2));
        expectThat(`${out[y]?.shape}` === "2,3", "shape", `the output has the shape [${out[y]?.shape}], not [2,3]`);
        expectValues(out[y], [5, 3, 0, 7, 12, 0]);
      });
    }),
    rule("answers runs that were started together, each with its own", async () => {
      const { model, y } = network();
      await using(runtime.prepare(model), async (s) => {
        const outs = await Promise.all([x(1, 0), x(0, 1), x(2, 0)].map((values) => s.run(values)));
        [
          [1, 0, 3],
          [4, 5, 0],
          [2, 0, 6],
        ].forEach((expected, i) => {
          expectValues(outs[i]![y], expected);
        });
      });
    }),
    rule("gives inner values when asked", async () => {
      const { model, h } = network();
      await using(runtime.prepare(model, { taps: [h] }), async (s) =>
        expectValues((await s.run(x(1, 1)))[h], [5, 3, -3]),
      );
    }),
    rule("keeps state between runs", async () => {
      const b = buildGraph();
      const sum = b.op("Add", [b.input("float32", [1], "total"), b.input("float32", [1], "step")]);
      b.output(sum, "float32", [1]);
      const initialState = { total: tensor("float32", [1], [10]) };
      await using(runtime.prepare(b.model({ opsets }), { state: { [sum]: "total" }, initialState }), async (s) => {
        const step = { step: tensor("float32", [1], [2]) };
        expectValues((await s.run(step))[sum], [12]);
        expectValues((await s.run(step))[sum], [14]);
      });
    }),
    rule("refuses inputs that are missing, unknown or of another type, and goes on", async () => {
      const { model, y } = network();
      await using(runtime.prepare(model), async (s) => {
        const bad: Record<string, Values> = {
          "no input": {},
          "an unknown input": { ...x(1, 1), z: tensor("float32", [1], [1]) },
          "another element type": { x: tensor("int64", [1, 2], [1, 1]) },
          "another shape": { x: tensor("float32", [1, 3], [1, 1, 1]) },
        };
        for (const [what, values] of Object.entries(bad))
          await problemsOf(() => s.run(values), "bad-input", `${runtime.name} took ${what}`);
        expectValues((await s.run(x(1, 1)))[y], [5, 3, 0]);
      });
    }),
    rule("refuses a model that it cannot run", async () => {
      const b = buildGraph();
      b.output(b.op("acme.Nope", [b.input("float32", [1])], { a: attr.int(1) }), "float32", [1]);
      const m = b.model({ opsets: new Map([...opsets, ["acme", 1]]) });
      await problemsOf(
        () => runtime.prepare(m),
        "bad-model",
        `${runtime.name} prepared a model with an operator that nobody knows`,
      );
    }),
    rule("rejects with the signal's reason when it is aborted before", async () => {
      const { model } = network();
      const reason = new Error("aborted before");
      const signal = AbortSignal.abort(reason);
      const first = await rejectionOf(
        () => runtime.prepare(model, { signal }),
        "abort-ignored",
        "an aborted prepare ended well",
      );
      expectThat(first === reason, "abort-reason", `prepare rejected with ${String(first)}`);
      await using(runtime.prepare(model), async (s) => {
        const second = await rejectionOf(
          () => s.run(x(1, 1), { signal }),
          "abort-ignored",
          "an aborted run ended well",
        );
        expectThat(second === reason, "abort-reason", `run rejected with ${String(second)}`);
      });
    }),
    rule("closes twice, and runs no more then", async () => {
      const session = await runtime.prepare(network().model);
      await session.close();
      await session.close();
      const error = await rejectionOf(() => session.run(x(1, 1)), "closed", "a closed session ran");
      expectThat(isPareError(error), "closed", `a closed session rejected with ${String(error)}`);
    }),
  ];
}
