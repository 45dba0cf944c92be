import { type Random, randomFrom } from "../random.ts";

export const SAMPLE_RATE = 16000;

/** A synthesised signal, 16 kHz, in [-1, 1], and where in it there is speech. */
export interface Signal {
  readonly samples: Float32Array;
  /** Seconds [from, to) of speech. */
  readonly speech: readonly (readonly [number, number])[];
}

/** First four formants of vowels in Hz (a man's; Peterson and Barney 1952, the fourth by Fant 1960). */
const vowels = [
  [730, 1090, 2440, 3400],
  [530, 1840, 2480, 3500],
  [270, 2290, 3010, 3600],
  [570, 840, 2410, 3300],
  [300, 870, 2240, 3300],
  [660, 1720, 2410, 3500],
] as const;
const bandwidths = [60, 90, 130, 200];

/**
 * Seconds of voice-like sound between pauses of faint noise: pulses of a gliding pitch, shaped by formants that move from
 * vowel to vowel, with hisses between syllables, as source and filter make speech (Fant 1960).
 */
export function synthesise({ seed, seconds }: { readonly seed: number; readonly seconds: number }): Signal {
  const random = randomFrom(seed);
  const samples = new Float32Array(Math.round(seconds * SAMPLE_RATE));
  const speech: [number, number][] = [];
  let at = 0.4 + 0.4 * random.next();
  while (at < seconds - 1.2) {
    const length = Math.min(seconds - 0.5 - at, 1 + 1.5 * random.next());
    phrase(samples, Math.round(at * SAMPLE_RATE), Math.round(length * SAMPLE_RATE), random);
    speech.push([at, at + length]);
    at += length + 0.9 + 0.8 * random.next();
  }
  for (let i = 0; i < samples.length; i++)
    samples[i] = Math.max(-1, Math.min(1, samples[i]! + 0.0008 * random.normal()));
  return { samples, speech };
}

function phrase(out: Float32Array, start: number, length: number, random: Random): void {
  const base = 110 + 90 * random.next();
  const states = bandwidths.map(() => [0, 0] as [number, number]);
  let phase = 0;
  let breath = 0;
  let [from, to] = [random.pick(vowels), random.pick(vowels)];
  let [syllable, syllableLength] = [0, 0.2 * SAMPLE_RATE];
  for (let i = 0; i < length; i++, syllable++) {
    if (syllable >= syllableLength) {
      [from, to] = [to, random.pick(vowels)];
      [syllable, syllableLength] = [0, (0.13 + 0.13 * random.next()) * SAMPLE_RATE];
    }
    const part = syllable / syllableLength;
    const time = i / SAMPLE_RATE;
    const pitch =
      base * (1.15 - (0.3 * i) / length + 0.06 * Math.sin(2 * Math.PI * 2.7 * time) + 0.008 * random.normal());
    const before = phase;
    phase = (phase + pitch / SAMPLE_RATE) % 1;
    // The flow through the glottis, differentiated: a slow opening, a sudden closing (Rosenberg 1971).
    const pulse = phase < 0.6 ? Math.sin((Math.PI * phase) / 0.6) * 0.3 : phase < before ? -1 : -0.15 * (1 - phase);
    breath = 0.7 * breath + 0.3 * random.normal();
    const hiss = part < 0.18 && syllableLength > 0.19 * SAMPLE_RATE;
    let excitation = hiss ? 0.25 * random.normal() : pulse + 0.03 * breath;
    let sound = 0;
    for (const [k, state] of states.entries()) {
      const glide = Math.min(1, part * 1.6);
      const formant = from[k]! + (to[k]! - from[k]!) * glide;
      excitation = resonate(excitation, state, formant * (hiss && k > 1 ? 1.4 : 1), bandwidths[k]!);
      sound = excitation;
    }
    const edge = Math.min(1, i / 800, (length - i) / 1600);
    const swell = 0.2 + 0.8 * Math.sin(Math.PI * Math.min(1, part + 0.08));
    out[start + i]! += Math.tanh(sound * 0.9) * 0.35 * edge * swell;
  }
}

/** A resonator of two poles, unit gain at 0 Hz (Klatt 1980). */
function resonate(x: number, state: [number, number], frequency: number, bandwidth: number): number {
  const c = -Math.exp((-2 * Math.PI * bandwidth) / SAMPLE_RATE);
  const b = 2 * Math.exp((-Math.PI * bandwidth) / SAMPLE_RATE) * Math.cos((2 * Math.PI * frequency) / SAMPLE_RATE);
  const y = (1 - b - c) * x + b * state[0] + c * state[1];
  state[1] = state[0];
  state[0] = y;
  return y;
}
