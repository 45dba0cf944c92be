import type { ResidentTensor, Session, Values } from "@pare/core";
import type { Metric } from "@pare/quantize";
import { models } from "./models.ts";
import {
  boxesOf,
  decode,
  detectionInput,
  dictionary,
  type Image,
  isUpsideDown,
  type Line,
  mapAgreement,
  orientationInput,
  recognitionInput,
  renderLines,
  stack,
  upsideDown,
} from "./ocr/index.ts";
import {
  type Detector,
  decisionAgreement,
  framesOf,
  type Signal,
  SPEECH,
  sileroLegacy,
  sileroV5,
  speechProbabilities,
  synthesise,
} from "./voice/index.ts";

/** What a model made of one real input. */
export interface Answer {
  /** The decoded answer, for people. */
  readonly text: string;
  /** How far another version's answer to the same input agrees: 0 to 1. */
  agreement(other: Answer): number;
  /** What {@link Answer.agreement} compares, where it is more than the text. */
  readonly raw?: ResidentTensor | readonly number[];
}

/** A model, real inputs for it, and how to read its answers. */
export interface Job {
  readonly name: string;
  /** What agreement means: `lines read alike`. */
  readonly measure: string;
  readonly file: string;
  /** Inputs as the network takes them, to measure numbers and time on. */
  readonly samples: readonly Values[];
  /** How a session for the answers is to be prepared. */
  readonly state?: { readonly state: Readonly<Record<string, string>>; readonly initialState: Values };
  answers(session: Session, signal?: AbortSignal): Promise<Answer[]>;
  /** Inputs that are not among the job's, to quantize by, and how answers to them are judged. */
  readonly calibration?: { readonly samples: readonly Values[]; readonly metric: Metric<string> };
  /** Pictures of the inputs, in the order of the answers. */
  readonly images?: readonly Image[];
}

const SEED = 2024;
/** Lines that the recogniser is calibrated on are of another seed. */
const CALIBRATION = { seed: 2025, count: 64 };
/** Longest side of a page as the detector sees it. */
const PAGE_PIXELS = 416;

export function makeJobs(size: { readonly lines: number; readonly pages: number; readonly seconds: number }): Job[] {
  const lines = renderLines({ seed: SEED, count: size.lines });
  const pages = Array.from({ length: size.pages }, (_, i) => page(lines.slice(i * 5, i * 5 + 5)));
  const signal = synthesise({ seed: SEED, seconds: size.seconds });
  return [
    detection(pages),
    recognition(lines),
    orientation(lines),
    voice("silero v5", models.voice(), sileroV5, signal),
    voice("silero legacy", models.voiceLegacy(), sileroLegacy, signal),
  ];
}

const page = (lines: readonly Line[]): Image =>
  stack(
    lines.map((l) => l.image),
    640,
    24,
  );

/** Runs a network on one input and gives its one output. */
async function one(session: Session, input: ResidentTensor, signal?: AbortSignal): Promise<ResidentTensor> {
  const outputs = await session.run({ [session.inputs[0]!.name]: input }, signal ? { signal } : {});
  return Object.values(outputs)[0]!;
}

const sameText = (text: string): Answer => ({ text, agreement: (other) => Number(other.text === text) });

function detection(pages: readonly Image[]): Job {
  const inputs = pages.map((p) => detectionInput(p, PAGE_PIXELS));
  const answer = (raw: ResidentTensor): Answer => ({
    text: `${boxesOf(raw).length} boxes`,
    raw,
    agreement: (other) => mapAgreement(raw, other.raw as ResidentTensor),
  });
  return {
    name: "OCR detection",
    measure: "text area, IoU",
    file: models.detection(),
    samples: inputs.slice(0, 2).map((x) => ({ x })),
    images: pages,
    async answers(session, signal) {
      const list: Answer[] = [];
      for (const input of inputs) list.push(answer(await one(session, input, signal)));
      return list;
    },
  };
}

function recognition(lines: readonly Line[]): Job {
  const inputs = lines.map((l) => recognitionInput(l.image));
  const characters = dictionary();
  return {
    name: "OCR recognition",
    measure: "lines read alike",
    file: models.recognition(),
    samples: inputs.slice(0, 4).map((x) => ({ x })),
    images: lines.map((l) => l.image),
    calibration: {
      samples: renderLines(CALIBRATION).map((l) => ({ x: recognitionInput(l.image) })),
      metric: { name: "lines read alike", answer: (outputs) => decode(Object.values(outputs)[0]!, characters) },
    },
    async answers(session, signal) {
      const list: Answer[] = [];
      for (const input of inputs) list.push(sameText(decode(await one(session, input, signal), characters)));
      return list;
    },
  };
}

function orientation(lines: readonly Line[]): Job {
  const images = lines.flatMap((l) => [l.image, upsideDown(l.image)]);
  const inputs = images.map(orientationInput);
  return {
    name: "OCR orientation",
    measure: "decisions alike",
    file: models.orientation(),
    samples: inputs.slice(0, 8).map((x) => ({ x })),
    images,
    async answers(session, signal) {
      const list: Answer[] = [];
      for (const input of inputs) list.push(sameText(isUpsideDown(await one(session, input, signal)) ? "180°" : "0°"));
      return list;
    },
  };
}

function voice(name: string, file: string, detector: Detector, sound: Signal): Job {
  const { state, initialState } = detector;
  const frames = framesOf(sound, detector);
  return {
    name,
    measure: "frames decided alike",
    file,
    samples: frames
      .filter((_, i) => i % Math.ceil(frames.length / 8) === 0)
      .map((frame) => ({ ...frame, ...initialState })),
    state: { state, initialState },
    async answers(session, signal) {
      const raw = await speechProbabilities(session, sound, detector, signal);
      const speech = raw.filter((p) => p > SPEECH).length / raw.length;
      return [
        {
          text: `${(100 * speech).toFixed(0)} % speech`,
          raw,
          agreement: (other) => decisionAgreement(raw, other.raw as readonly number[]),
        },
      ];
    },
  };
}
