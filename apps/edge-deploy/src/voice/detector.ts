import { dataOf, type ResidentTensor, type Session, tensor, type Values } from "@pare/core";
import { SAMPLE_RATE, type Signal } from "./signal.ts";

/** One of Silero's two networks: what it is fed for each frame, and how its state is called. */
export interface Detector {
  /** Samples of a frame. */
  readonly frame: number;
  /** Samples of the frame before that go ahead of it. */
  readonly context: number;
  /** Outputs that are the next frame's inputs, and the first values of those. */
  readonly state: Readonly<Record<string, string>>;
  readonly initialState: Values;
}

/** Version 5: one state. Each frame comes with the end of the one before, as @ricky0123/vad-web feeds it. */
export const sileroV5: Detector = {
  frame: 512,
  context: 64,
  state: { stateN: "state" },
  initialState: { state: tensor("float32", [2, 1, 128], new Float32Array(256)) },
};

/** The version before: hidden and cell state of the LSTM. */
export const sileroLegacy: Detector = {
  frame: 1536,
  context: 0,
  state: { hn: "h", cn: "c" },
  initialState: {
    h: tensor("float32", [2, 1, 64], new Float32Array(128)),
    c: tensor("float32", [2, 1, 64], new Float32Array(128)),
  },
};

const rate = tensor("int64", [], [BigInt(SAMPLE_RATE)]);

/** What the network is fed frame by frame, but for the state; before the first frame there is silence. */
export function framesOf({ samples }: Signal, { frame, context }: Detector): Values[] {
  const padded = new Float32Array(context + samples.length);
  padded.set(samples, context);
  return Array.from({ length: Math.floor(samples.length / frame) }, (_, i) => ({
    input: tensor("float32", [1, context + frame], padded.slice(i * frame, (i + 1) * frame + context)),
    sr: rate,
  }));
}

/** Probabilities of speech, one for each frame. The session must have been prepared with the detector's state. */
export async function speechProbabilities(
  session: Session,
  signal: Signal,
  detector: Detector,
  stop?: AbortSignal,
): Promise<number[]> {
  const probabilities: number[] = [];
  for (const frame of framesOf(signal, detector)) {
    const { output } = await session.run(frame, { outputs: ["output"], ...(stop ? { signal: stop } : {}) });
    probabilities.push(dataOf(output as ResidentTensor<"float32">)[0]!);
  }
  return probabilities;
}

/** Probability above which a frame is speech, as Silero's own examples set it. */
export const SPEECH = 0.5;

/** Share of frames that two runs decide alike. */
export const decisionAgreement = (a: readonly number[], b: readonly number[]): number =>
  a.length === 0 ? 1 : a.filter((p, i) => p > SPEECH === b[i]! > SPEECH).length / a.length;

/** Share of frames that are decided as the signal was made; frames that a boundary cuts do not count. */
export function truthAgreement(probabilities: readonly number[], { speech }: Signal, { frame }: Detector): number {
  let right = 0;
  let counted = 0;
  for (const [i, p] of probabilities.entries()) {
    const [from, to] = [(i * frame) / SAMPLE_RATE, ((i + 1) * frame) / SAMPLE_RATE];
    const inside = speech.some(([a, b]) => from >= a && to <= b);
    const outside = speech.every(([a, b]) => to <= a || from >= b);
    if (!inside && !outside) continue;
    counted++;
    if (p > SPEECH === inside) right++;
  }
  return right / Math.max(1, counted);
}
