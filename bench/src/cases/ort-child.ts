/** Runs models in a process of its own: the engine may crash on what it is given. */
import type { InferenceSession, TypedTensor } from "onnxruntime-node";
import * as ort from "onnxruntime-node";

export interface Job {
  readonly id: number;
  readonly path: string;
  readonly inputs: readonly { readonly type: string; readonly dims: readonly number[]; readonly data: unknown }[];
}
export interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  /** A typed array, or strings. */
  readonly data: ArrayBufferView | readonly string[];
}
/** The outputs by name in the model's order, or why there are none. */
export type Answer = { readonly outputs: ReadonlyMap<string, OrtTensor> } | { readonly why: string };
export type Reply = Answer & { readonly id: number };

const options: InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1, interOpNumThreads: 1 };

async function answer({ path, inputs }: Job): Promise<ReadonlyMap<string, OrtTensor>> {
  const session = await ort.InferenceSession.create(path, options);
  try {
    const feeds = Object.fromEntries(
      session.inputNames.map((name, i) => {
        const input = inputs[i];
        if (!input) throw new Error(`no input ${name} was recorded`);
        // A place of its own: kernels add in another order where data is not aligned.
        const data = (input.data as Float32Array).slice();
        return [name, new ort.Tensor(input.type as "float32", data, input.dims) as TypedTensor<"float32">];
      }),
    );
    const results = await session.run(feeds);
    return new Map(
      session.outputNames.map((name) => {
        const { type, dims, data } = results[name]!;
        return [name, { type, dims: [...dims], data: data as unknown as OrtTensor["data"] }];
      }),
    );
  } finally {
    await session.release();
  }
}

process.on("message", async (job: Job) => {
  const say = (reply: Reply) => process.send!(reply);
  try {
    say({ id: job.id, outputs: await answer(job) });
  } catch (error) {
    say({ id: job.id, why: String(error instanceof Error ? error.message : error).slice(0, 300) });
  }
});
process.on("disconnect", () => process.exit(0));
