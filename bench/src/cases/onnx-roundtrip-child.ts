/** Runs two models on the same inputs, in a process of its own: the engine may crash on what it is given. */
import type { InferenceSession, Tensor, TypedTensor } from "onnxruntime-node";
import * as ort from "onnxruntime-node";

export interface Job {
  readonly id: number;
  readonly theirs: string;
  readonly ours: readonly string[];
  readonly inputs: readonly { readonly type: string; readonly dims: readonly number[]; readonly data: unknown }[];
}
/** `theirs` is said before ours are tried, so that it is known who made the engine crash. */
export type Reply =
  | { readonly id: number; readonly theirs: boolean; readonly why: string }
  | { readonly id: number; readonly ours: number; readonly same: boolean; readonly why: string };

const options: InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1, interOpNumThreads: 1 };

async function answer(path: string, inputs: Job["inputs"]): Promise<readonly (readonly [string, Tensor])[]> {
  const session = await ort.InferenceSession.create(path, options);
  try {
    const feeds = Object.fromEntries(
      session.inputNames.map((name, i) => {
        const input = inputs[i];
        if (!input) throw new Error(`no input ${name} was recorded`);
        return [
          name,
          new ort.Tensor(input.type as "float32", input.data as Float32Array, input.dims) as TypedTensor<"float32">,
        ];
      }),
    );
    const results = await session.run(feeds);
    return session.outputNames.map((name) => [name, results[name] as Tensor]);
  } finally {
    await session.release();
  }
}

/** Bits, not numbers: NaN is NaN and -0 is not 0. */
function bits(t: Tensor): string {
  const data = t.data;
  const body = ArrayBuffer.isView(data)
    ? Buffer.from(canonical(data)).toString("base64")
    : JSON.stringify([...(data as Iterable<string>)]);
  return `${t.type} [${t.dims}] ${body}`;
}

/** All NaN are one. */
function canonical(data: ArrayBufferView): Uint8Array {
  if (data instanceof Float32Array || data instanceof Float64Array) {
    const copy = data.slice();
    for (let i = 0; i < copy.length; i++) if (Number.isNaN(copy[i])) copy[i] = Number.NaN;
    return new Uint8Array(copy.buffer);
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

const say = (reply: Reply) => new Promise<void>((done) => process.send!(reply, () => done()));
const text = (error: unknown) => String(error instanceof Error ? error.message : error).slice(0, 300);

process.on("message", async ({ id, theirs, ours, inputs }: Job) => {
  let expected: readonly string[];
  try {
    expected = (await answer(theirs, inputs)).map(([name, t]) => `${name} ${bits(t)}`);
    await say({ id, theirs: true, why: "" });
  } catch (error) {
    await say({ id, theirs: false, why: text(error) });
    return;
  }
  for (const [index, path] of ours.entries()) {
    let reply: Reply;
    try {
      const found = (await answer(path, inputs)).map(([name, t]) => `${name} ${bits(t)}`);
      const wrong = expected.filter((line, i) => line !== found[i]);
      reply = {
        id,
        ours: index,
        same: wrong.length === 0 && found.length === expected.length,
        why: wrong.length > 0 ? `${wrong[0]!.split(" ")[0]} differs` : "",
      };
    } catch (error) {
      reply = { id, ours: index, same: false, why: text(error) };
    }
    await say(reply);
  }
});
process.on("disconnect", () => process.exit(0));
