export { boxesOf, detectionInput, mapAgreement, TEXT, textBoxes } from "./detection.ts";
export { type Box, crop, type Image, resize, stack, toPng, upsideDown } from "./image.ts";
export { type Line, renderLines } from "./lines.ts";
export { isUpsideDown, orientationInput } from "./orientation.ts";
export {
  characterErrorRate,
  decode,
  decodeBatch,
  dictionary,
  type RunModel,
  readLine,
  recognitionBatch,
  recognitionInput,
} from "./recognition.ts";
