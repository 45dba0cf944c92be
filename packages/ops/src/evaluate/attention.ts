import { attribute, elementCount, failure } from "@pare/core";
import { broadcastPositions, type Nd, newData, numbersOf } from "./array.ts";
import { sigmoid } from "./elementwise.ts";
import { softmaxRow } from "./reduce.ts";
import { type EvaluateRule, type EvaluateRules, float, input, int, text } from "./rule.ts";

/** An array of [batch, heads, positions, features], whatever the order in which it came. */
interface Heads {
  readonly size: readonly [batch: number, heads: number, positions: number, features: number];
  at(batch: number, head: number, position: number, feature: number): number;
}

/** [batch, heads, positions, features], or [batch, positions, heads * features] where `count` heads are side by side. */
function headsOf(x: Nd, count: number): Heads {
  const data = numbersOf(x);
  if (x.shape.length === 4) {
    const [b, h, n, d] = x.shape as [number, number, number, number];
    return { size: [b, h, n, d], at: (i, j, k, l) => data[((i * h + j) * n + k) * d + l]! };
  }
  const [b, n, wide] = x.shape as [number, number, number];
  const d = wide / count;
  if (x.shape.length !== 3 || !Number.isInteger(d)) throw failure("ops/shape", `[${x.shape}] is not ${count} heads`);
  return { size: [b, count, n, d], at: (i, j, k, l) => data[(i * n + k) * wide + j * d + l]! };
}

/** The same in one array, in the order of heads or side by side. */
function gatherHeads(size: Heads["size"], dtype: Nd["dtype"], together: boolean, at: Heads["at"]): Nd {
  const [b, h, n, d] = size;
  const data = newData("float64", size) as Float64Array;
  for (let i = 0; i < b; i++)
    for (let j = 0; j < h; j++)
      for (let k = 0; k < n; k++)
        for (let l = 0; l < d; l++)
          data[together ? (i * n + k) * h * d + j * d + l : ((i * h + j) * n + k) * d + l] = at(i, j, k, l);
  return { dtype, shape: together ? [b, n, h * d] : size, data };
}

/** What is put before, in the axis of positions. */
function extended(past: Nd | undefined, x: Heads): Heads {
  if (!past) return x;
  const before = headsOf(past, x.size[1]);
  const [b, h, n, d] = x.size;
  const old = before.size[2];
  return { size: [b, h, old + n, d], at: (i, j, k, l) => (k < old ? before.at(i, j, k, l) : x.at(i, j, k - old, l)) };
}

/** The mask's number for each score: what is added, minus infinity for what may not be looked at. */
function maskOf(
  mask: Nd | undefined,
  size: readonly [number, number, number, number],
): (flat: number, key: number) => number {
  if (!mask) return () => 0;
  const keys = mask.shape.at(-1)!;
  const shape = [...size.slice(0, 3), keys === 1 ? size[3] : keys];
  const positions = broadcastPositions(mask.shape, shape);
  const width = shape[3]!;
  const isBool = mask.dtype === "bool";
  return (row, key) => {
    if (key >= width) return Number.NEGATIVE_INFINITY;
    const v = Number(mask.data[positions[row * width + key]!]);
    return isBool ? (v ? 0 : Number.NEGATIVE_INFINITY) : v;
  };
}

/** Scaled dot-product attention with grouped heads, cache, mask and soft cap. (ONNX 1.22, Attention 24.) */
const attention: EvaluateRule = (call) => {
  const together = input(call, 0).shape.length === 3;
  const q = headsOf(input(call, 0), int(call, "q_num_heads", 1));
  const past = call.inputs[4];
  const k = extended(past, headsOf(input(call, 1), int(call, "kv_num_heads", 1)));
  const v = extended(call.inputs[5], headsOf(input(call, 2), int(call, "kv_num_heads", 1)));
  const [batch, heads, queries, depth] = q.size;
  const [, groups, keys] = k.size;
  call.budget.spend(8 * batch * heads * queries * keys * (8 + depth + v.size[3]));
  const scale = attribute(call.node, "scale", "float") ?? 1 / Math.sqrt(depth);
  const cap = float(call, "softcap", 0);
  const causal = int(call, "is_causal", 0) === 1;
  const old = past ? headsOf(past, groups).size[2] : 0;
  const valid = call.inputs[6] && numbersOf(call.inputs[6]);
  const size = [batch, heads, queries, keys] as const;
  const mask = maskOf(call.inputs[3], size);
  const mode = int(call, "qk_matmul_output_mode", 0);
  const shown = new Float64Array(elementCount(size));
  const weights = new Float64Array(elementCount(size));
  for (let b = 0, row = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++, row++) {
        const group = Math.floor(h / (heads / groups));
        const scores = new Float64Array(keys);
        for (let j = 0; j < keys; j++) {
          let dot = 0;
          for (let d = 0; d < depth; d++) dot += q.at(b, h, i, d) * k.at(b, group, j, d);
          const raw = dot * scale;
          const capped = cap > 0 ? Math.tanh(raw / cap) * cap : raw;
          const hidden = (causal && j > i + old) || (valid && j >= valid[b]!);
          scores[j] = hidden ? Number.NEGATIVE_INFINITY : capped + mask(row, j);
          shown[row * keys + j] = [raw, capped, scores[j]!][mode] ?? 0;
        }
        const probabilities = softmaxRow(scores);
        weights.set(probabilities, row * keys);
        if (mode === 3) shown.set(probabilities, row * keys);
      }
  const { dtype } = input(call, 0);
  const y = gatherHeads([batch, heads, queries, v.size[3]], dtype, together, (b, h, i, d) => {
    const group = Math.floor(h / (heads / v.size[1]));
    let sum = 0;
    for (let j = 0; j < keys; j++) {
      const w = weights[((b * heads + h) * queries + i) * keys + j]!;
      sum += w === 0 ? 0 : w * v.at(b, group, j, d);
    }
    return sum;
  });
  return [
    y,
    gatherHeads(k.size, input(call, 1).dtype, false, k.at),
    gatherHeads(v.size, input(call, 2).dtype, false, v.at),
    { dtype, shape: size, data: shown },
  ];
};

/** Rotates pairs of features by angles that depend on the position. (ONNX 1.22, RotaryEmbedding 23.) */
const rotaryEmbedding: EvaluateRule = (call) => {
  const [x, cos, sin] = [input(call, 0), input(call, 1), input(call, 2)];
  const places = call.inputs[3] && numbersOf(call.inputs[3]);
  const heads = headsOf(x, int(call, "num_heads", 1));
  const [, , length, depth] = heads.size;
  const rotated = int(call, "rotary_embedding_dim", 0) || depth;
  const half = rotated / 2;
  const interleaved = int(call, "interleaved", 0) === 1;
  const angle = (table: Nd, b: number, position: number, pair: number) =>
    Number(table.data[(places ? places[b * length + position]! : b * length + position) * half + pair]);
  return [
    gatherHeads(heads.size, x.dtype, x.shape.length === 3, (b, h, n, d) => {
      if (d >= rotated) return heads.at(b, h, n, d);
      const pair = interleaved ? Math.floor(d / 2) : d % half;
      const isReal = interleaved ? d % 2 === 0 : d < half;
      const [r, i] = interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + half];
      const [re, im] = [heads.at(b, h, n, r), heads.at(b, h, n, i)];
      const [c, s] = [angle(cos, b, n, pair), angle(sin, b, n, pair)];
      return isReal ? c * re - s * im : s * re + c * im;
    }),
  ];
};

/** Attention as a recurrence over a matrix of state, with decay and the delta rule. (ONNX 1.22, LinearAttention 27.) */
const linearAttention: EvaluateRule = (call) => {
  const [heads, groups] = [int(call, "q_num_heads", 1), int(call, "kv_num_heads", 1)];
  const rule = text(call, "update_rule", "gated_delta");
  const q = headsOf(input(call, 0), heads);
  const [k, v] = [headsOf(input(call, 1), groups), headsOf(input(call, 2), groups)];
  const [batch, , length, depth] = q.size;
  const width = v.size[3];
  call.budget.spend(16 * batch * (1 + length) * depth * width * (heads + groups));
  const scale = float(call, "scale", 0) || 1 / Math.sqrt(depth);
  const [decay, beta] = [call.inputs[4], call.inputs[5]];
  const fade = decay && headsOf(decay, groups);
  const gain = beta && headsOf(beta, beta.shape[2]!);
  const past = call.inputs[3];
  const state = past
    ? Float64Array.from(numbersOf(past))
    : (newData("float64", [batch, groups, depth, width]) as Float64Array);
  const out = new Float64Array(batch * heads * length * width);
  for (let b = 0; b < batch; b++)
    for (let g = 0; g < groups; g++) {
      const s = state.subarray((b * groups + g) * depth * width, (b * groups + g + 1) * depth * width);
      for (let t = 0; t < length; t++) {
        if (rule.startsWith("gated") && fade)
          for (let d = 0; d < depth; d++)
            for (let m = 0; m < width; m++) s[d * width + m]! *= Math.exp(fade.at(b, g, t, fade.size[3] === 1 ? 0 : d));
        for (let m = 0; m < width; m++) {
          let value = v.at(b, g, t, m);
          if (rule.endsWith("delta") && gain) {
            let known = 0;
            for (let d = 0; d < depth; d++) known += s[d * width + m]! * k.at(b, g, t, d);
            value = gain.at(b, gain.size[1] === 1 ? 0 : g, t, 0) * (value - known);
          }
          for (let d = 0; d < depth; d++) s[d * width + m]! += k.at(b, g, t, d) * value;
        }
        for (let h = (g * heads) / groups; h < ((g + 1) * heads) / groups; h++)
          for (let m = 0; m < width; m++) {
            let sum = 0;
            for (let d = 0; d < depth; d++) sum += q.at(b, h, t, d) * s[d * width + m]!;
            out[((b * heads + h) * length + t) * width + m] = scale * sum;
          }
      }
    }
  const { dtype } = input(call, 0);
  const at: Heads["at"] = (b, h, t, m) => out[((b * heads + h) * length + t) * width + m]!;
  return [
    gatherHeads([batch, heads, length, width], dtype, true, at),
    { dtype: past?.dtype ?? dtype, shape: [batch, groups, depth, width], data: state },
  ];
};

/** A depthwise convolution that sees only what came before, with what it saw last as state. (ONNX 1.22.) */
const causalConv: EvaluateRule = (call) => {
  const [x, w] = [input(call, 0), input(call, 1)];
  const [bias, past] = [call.inputs[2], call.inputs[3]];
  const [batch, channels, length] = x.shape as [number, number, number];
  const taps = w.shape[2]!;
  const padded = (plane: number, i: number) => {
    if (i >= taps - 1) return Number(x.data[plane * length + i - taps + 1]);
    return past ? Number(past.data[plane * (taps - 1) + i]) : 0;
  };
  const active = text(call, "activation", "none") !== "none";
  const planes = batch * channels;
  call.budget.spend(8 * planes * (length + taps) * taps);
  const y = new Float64Array(planes * length);
  for (let p = 0; p < planes; p++)
    for (let i = 0; i < length; i++) {
      let sum = bias ? Number(bias.data[p % channels]) : 0;
      for (let t = 0; t < taps; t++) sum += padded(p, i + t) * Number(w.data[(p % channels) * taps + t]);
      y[p * length + i] = active ? sum * sigmoid(sum) : sum;
    }
  const state = (newData("float64", [planes, taps - 1]) as Float64Array).map((_, i) =>
    padded(Math.floor(i / (taps - 1)), length + (i % (taps - 1))),
  );
  return [
    { ...x, data: y },
    { dtype: past?.dtype ?? x.dtype, shape: [batch, channels, taps - 1], data: state },
  ];
};

export const attentions: EvaluateRules = {
  Attention: attention,
  RotaryEmbedding: rotaryEmbedding,
  LinearAttention: linearAttention,
  CausalConvWithState: causalConv,
};
