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

const widthOf = (image: Image): number => Math.max(16, Math.round((image.width * HEIGHT) / image.height));
const HALF = [0.5, 0.5, 0.5];

/** A line as the network takes it: [1, 3, 48, W], width by the line's own proportion, as PaddleOCR prepares it. */
export const recognitionInput = (image: Image): ResidentTensor<"float32"> => recognitionBatch([image]);

/**
 * Lines as one input [N, 3, 48, W]: the widest gives W, the right of the others is filled with zeros. The network attends to
 * the filling as well, so a few lines are read differently than alone.
 */
export function recognitionBatch(images: readonly Image[]): ResidentTensor<"float32"> {
  const widest = Math.max(...images.map(widthOf));
  const planes = new Float32Array(images.length * 3 * HEIGHT * widest);
  for (const [i, image] of images.entries())
    planes.set(toPlanes(resize(image, widthOf(image), HEIGHT), widest, HEIGHT, HALF, HALF), i * 3 * HEIGHT * widest);
  return tensor("float32", [images.length, 3, HEIGHT, widest], planes);
}

/**
 * Greedy CTC decoding of probabilities [N, T, classes], one text for each N: the best class of each step, repetitions
 * joined, blanks dropped. (Graves et al. 2006.)
 * @throws PareError `edge-deploy/dictionary` when the classes are not the dictionary's
 */
export function decodeBatch(probabilities: ResidentTensor, characters: readonly string[]): string[] {
  const [count = 0, steps = 0, classes = 0] = probabilities.shape;
  if (classes !== characters.length)
    throw failure("edge-deploy/dictionary", `the network has ${classes} classes, the dictionary ${characters.length}`);
  const data = dataOf(probabilities as ResidentTensor<"float32">);
  return Array.from({ length: count }, (_, n) =>
    textOf(data.subarray(n * steps * classes, (n + 1) * steps * classes), characters),
  );
}

/** The text of the first line of {@link decodeBatch}. */
export const decode = (probabilities: ResidentTensor, characters: readonly string[]): string =>
  decodeBatch(probabilities, characters)[0] ?? "";

function textOf(data: Float32Array, characters: readonly string[]): string {
  const classes = characters.length;
  const steps = data.length / classes;
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
export async function readLine(
  run: RunModel,
  image: Image,
  characters: readonly string[],
  inputName = "x",
): Promise<string> {
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
