import { readFileSync } from "node:fs";
import { dataOf, failure, type ResidentTensor, tensor, type Values } from "@pare/core";
import { models } from "../models.ts";
import { type Image, resize, toPlanes } from "./image.ts";

/** Height that the network wants. */
const HEIGHT = 48;

/** Runs a network once: a session's `run`. */
export type RunModel = (inputs: Values) => Promise<Values>;

/** The characters by class: 0 is CTC's blank, the last is the space. */
export function dictionary(): readonly string[] {
  const lines = readFileSync(models.dictionary(), "utf8").split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return ["", ...lines, " "];
}

/** A line as the network takes it: [1, 3, 48, W], width by the line's own proportion, as PaddleOCR prepares it. */
export function recognitionInput(image: Image): ResidentTensor<"float32"> {
  const width = Math.max(16, Math.round((image.width * HEIGHT) / image.height));
  const planes = toPlanes(resize(image, width, HEIGHT), width, HEIGHT, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]);
  return tensor("float32", [1, 3, HEIGHT, width], planes);
}

/**
 * Greedy CTC decoding of probabilities [1, T, classes]: the best class of each step, repetitions joined, blanks dropped.
 * (Graves et al. 2006.)
 */
export function decode(probabilities: ResidentTensor, characters: readonly string[]): string {
  const [, steps = 0, classes = 0] = probabilities.shape;
  if (classes !== characters.length)
    throw failure("edge-deploy/dictionary", `the network has ${classes} classes, the dictionary ${characters.length}`);
  const data = dataOf(probabilities as ResidentTensor<"float32">);
  let text = "";
  let before = 0;
  for (let t = 0; t < steps; t++) {
    let best = 0;
    for (let c = 1; c < classes; c++) if (data[t * classes + c]! > data[t * classes + best]!) best = c;
    if (best !== 0 && best !== before) text += characters[best];
    before = best;
  }
  return text;
}

/** Reads a line. `inputName` is that of the network's one input. */
export async function readLine(run: RunModel, image: Image, characters: readonly string[], inputName = "x"): Promise<string> {
  const outputs = await run({ [inputName]: recognitionInput(image) });
  return decode(Object.values(outputs)[0]!, characters);
}

/** Character error rate: edits (Levenshtein) over the length of the truth. */
export function characterErrorRate(truth: string, got: string): number {
  let row = Array.from({ length: got.length + 1 }, (_, i) => i);
  for (let i = 1; i <= truth.length; i++) {
    const next = [i];
    for (let j = 1; j <= got.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (truth[i - 1] === got[j - 1] ? 0 : 1));
    row = next;
  }
  return row[got.length]! / Math.max(1, truth.length);
}
