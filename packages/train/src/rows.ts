import { failure, type ResidentTensor, tensor, type Values } from "@pare/core";

/** Rows of a tensor [samples, …]. */
export function takeRows(t: ResidentTensor, rows: readonly number[]): ResidentTensor {
  const row = t.byteLength / t.shape[0]!;
  const bytes = new Uint8Array(row * rows.length);
  rows.forEach((r, i) => void bytes.set(t.bytes.subarray(r * row, (r + 1) * row), i * row));
  return tensor(t.dtype, [rows.length, ...t.shape.slice(1)], bytes);
}

/**
 * Values of several batches or samples, each [samples, …], as one.
 * @throws PareError `train/data` where they differ in type or in what follows the first dimension
 */
export function joinRows(samples: readonly Values[]): Values {
  const [first] = samples;
  return Object.fromEntries(
    Object.entries(first!).map(([name, t]) => {
      const parts = samples.map((s) => s[name]);
      const row = t.shape.slice(1);
      if (!parts.every((p) => p?.dtype === t.dtype && `${p.shape.slice(1)}` === `${row}`))
        throw failure("train/data", "samples of one batch differ in type or size", { location: { value: name } });
      const bytes = new Uint8Array(parts.reduce((n, p) => n + p!.byteLength, 0));
      let at = 0;
      for (const p of parts) {
        bytes.set(p!.bytes, at);
        at += p!.byteLength;
      }
      return [name, tensor(t.dtype, [parts.reduce((n, p) => n + p!.shape[0]!, 0), ...row], bytes)];
    }),
  );
}
