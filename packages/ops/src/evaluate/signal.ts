import { intAttribute } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { nd, newData, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, input, int } from "./rule.ts";

type Complex = readonly [re: number, im: number];

/** The discrete Fourier transform by its definition: `count` frequencies of `length` samples. */
function transform(samples: readonly Complex[], length: number, count: number, inverse: boolean): Complex[] {
  const sign = inverse ? 1 : -1;
  const scale = inverse ? 1 / length : 1;
  return Array.from({ length: count }, (_, k) => {
    let [re, im] = [0, 0];
    for (let n = 0; n < length && n < samples.length; n++) {
      const angle = (sign * 2 * Math.PI * ((k * n) % length)) / length;
      const [a, b] = samples[n]!;
      re += a * Math.cos(angle) - b * Math.sin(angle);
      im += a * Math.sin(angle) + b * Math.cos(angle);
    }
    return [re * scale, im * scale];
  });
}

/** The other half of a spectrum of a real signal: conjugates in reverse. */
const mirrored = (half: readonly Complex[], length: number): Complex[] =>
  Array.from({ length }, (_, k) => {
    const [re, im] = half[k <= length / 2 ? k : length - k] ?? [0, 0];
    return [re, k <= length / 2 ? im : -im];
  });

const dft: EvaluateRule = (call) => {
  const x = input(call, 0);
  const axis = wholeAxis(Number(call.inputs[2]?.data[0] ?? -2), x.shape.length);
  const [inverse, onesided] = [int(call, "inverse", 0) === 1, int(call, "onesided", 0) === 1];
  const size = x.shape[axis]!;
  const toReal = inverse && onesided;
  const length = Number(call.inputs[1]?.data[0] ?? (toReal ? 2 * (size - 1) : size));
  const count = onesided && !inverse ? Math.floor(length / 2) + 1 : length;
  const parts = x.shape.at(-1)!;
  const outParts = toReal ? 1 : 2;
  const shape = [...x.shape.slice(0, -1).map((d, k) => (k === axis ? count : d)), outParts];
  const data = newData("float64", shape) as Float64Array;
  const values = numbersOf(x);
  call.budget.spend((values.length / size) * count * Math.min(length, size) * 64);
  // Places, not numbers: of an axis, `step` places of `parts` numbers apart.
  const step = stridesOf(x.shape)[axis]! / parts;
  for (let row = 0; row < values.length / parts / size; row++) {
    const outer = Math.floor(row / step);
    const inner = row % step;
    const samples = Array.from({ length: size }, (_, i): Complex => {
      const at = ((outer * size + i) * step + inner) * parts;
      return [values[at]!, parts === 2 ? values[at + 1]! : 0];
    });
    transform(toReal ? mirrored(samples, length) : samples, length, count, inverse).forEach(([re, im], k) => {
      const at = ((outer * count + k) * step + inner) * outParts;
      data[at] = re;
      if (outParts === 2) data[at + 1] = im;
    });
  }
  return [{ dtype: x.dtype, shape, data }];
};

const stft: EvaluateRule = (call) => {
  const x = input(call, 0);
  const hop = Number(input(call, 1).data[0]);
  const window = call.inputs[2] && numbersOf(call.inputs[2]);
  const [batch, size] = x.shape as [number, number];
  const parts = x.shape[2] ?? 1;
  const length = Number(call.inputs[3]?.data[0] ?? window?.length ?? size);
  const frames = 1 + Math.floor((size - length) / hop);
  const count = int(call, "onesided", 1) === 1 ? Math.floor(length / 2) + 1 : length;
  const values = numbersOf(x);
  const shape = [batch, frames, count, 2];
  const data = newData("float64", shape) as Float64Array;
  call.budget.spend(batch * frames * count * length * 64);
  for (let b = 0, at = 0; b < batch; b++)
    for (let f = 0; f < frames; f++) {
      const samples = Array.from({ length }, (_, i): Complex => {
        const from = (b * size + f * hop + i) * parts;
        const w = window?.[i] ?? 1;
        return [values[from]! * w, parts === 2 ? values[from + 1]! * w : 0];
      });
      for (const [re, im] of transform(samples, length, count, false)) {
        data[at++] = re;
        data[at++] = im;
      }
    }
  return [{ dtype: x.dtype, shape, data }];
};

/** A window of cosines, of the whole period or to both its ends. */
const cosineWindow =
  (...weights: readonly number[]): EvaluateRule =>
  (call) => {
    const size = Number(input(call, 0).data[0]);
    const period = int(call, "periodic", 1) === 1 ? size : size - 1;
    const dtype = dtypeOfCode(intAttribute(call.node, "output_datatype", 1));
    newData(dtype, [size]);
    const at = (n: number) => weights.reduce((sum, w, k) => sum + w * Math.cos((2 * Math.PI * k * n) / period), 0);
    return [
      nd(
        dtype,
        [size],
        Array.from({ length: size }, (_, n) => at(n)),
      ),
    ];
  };

/** Triangles of equal width on the mel scale. (ONNX 1.22, MelWeightMatrix.) */
const melWeights: EvaluateRule = (call) => {
  const at = (i: number) => Number(input(call, i).data[0]);
  const [bins, length, rate, low, high] = [at(0), at(1), at(2), at(3), at(4)];
  const out = nd("float64", [Math.floor(length / 2) + 1, bins], newData("float64", [Math.floor(length / 2) + 1, bins]));
  const mel = (f: number) => 2595 * Math.log10(1 + f / 700);
  const step = (mel(high) - mel(low)) / (bins + 2);
  const edge = Array.from({ length: bins + 2 }, (_, i) =>
    Math.floor(((length + 1) * 700 * (10 ** ((mel(low) + i * step) / 2595) - 1)) / rate),
  );
  const rows = Math.floor(length / 2) + 1;
  const set = (row: number, bin: number, v: number) => {
    if (row < rows) out.data[row * bins + bin] = v as never;
  };
  for (let b = 0; b < bins; b++) {
    const [left, centre, right] = edge.slice(b, b + 3) as [number, number, number];
    if (centre === left) set(centre, b, 1);
    for (let j = Math.max(0, left); j <= Math.min(centre, rows) && centre > left; j++)
      set(j, b, (j - left) / (centre - left));
    for (let j = Math.max(0, centre); j < Math.min(right, rows); j++) set(j, b, (right - j) / (right - centre));
  }
  return [{ ...out, dtype: dtypeOfCode(intAttribute(call.node, "output_datatype", 1)) }];
};

export const signals: EvaluateRules = {
  DFT: dft,
  STFT: stft,
  HannWindow: cosineWindow(0.5, -0.5),
  HammingWindow: cosineWindow(25 / 46, -21 / 46),
  BlackmanWindow: cosineWindow(0.42, -0.5, 0.08),
  MelWeightMatrix: melWeights,
};
