import { chunksOf, definePass, deriveTensor, edit, PASS_API_VERSION, type Pass, viewOf, weightsOf } from "@pare/core";

/*
 * Passes that break the contract, each in one way. A kit that lets one of them through is not worth having; a host or
 * a kit of your own can be tried with them too.
 */

/** Halves every float32 weight, in the bytes of the model that it was given. */
export const mutatingPass: () => Pass = definePass({
  name: "mutant-mutates",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      for (const w of e.weights()) {
        if (w.tensor.dtype !== "float32" || !w.tensor.bytes) continue;
        const data = new DataView(w.tensor.bytes.buffer, w.tensor.bytes.byteOffset, w.tensor.byteLength);
        for (let i = 0; i + 4 <= data.byteLength; i += 4) data.setFloat32(i, data.getFloat32(i, true) / 2, true);
        ctx.done(w);
      }
    }),
});

/** Looks at every byte of every weight and does not look at its signal. */
export const deafPass: () => Pass = definePass({
  name: "mutant-ignores-abort",
  apiVersion: PASS_API_VERSION,
  reads: "weights",
  async run(model) {
    let sum = 0;
    for (const { tensor } of weightsOf(viewOf(model))) for await (const chunk of chunksOf(tensor)) sum += chunk.length;
    return sum < 0 ? { ...model } : model;
  },
});

/** Halves the first float32 weight of each graph, and reports all others too. */
export const boastingPass: () => Pass = definePass({
  name: "mutant-misreports",
  apiVersion: PASS_API_VERSION,
  run: (model, _, ctx) =>
    edit(model, (e) => {
      const seen = new Set<unknown>();
      for (const w of e.weights()) {
        if (w.tensor.dtype !== "float32") continue;
        if (!seen.has(w.view))
          e.setWeight(
            w,
            deriveTensor(w.tensor, { key: "half@1", map: (data) => (data as Float32Array).map((v) => v / 2) }),
          );
        seen.add(w.view);
        ctx.done(w);
      }
    }),
});
