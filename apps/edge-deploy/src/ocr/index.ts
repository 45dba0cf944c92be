export { boxesOf, type Box, detectionInput, mapAgreement, TEXT } from "./detection.ts";
export { type Image, resize, stack, toPng, upsideDown } from "./image.ts";
export { type Line, renderLines } from "./lines.ts";
export { isUpsideDown, orientationInput } from "./orientation.ts";
export { characterErrorRate, decode, dictionary, readLine, recognitionInput, type RunModel } from "./recognition.ts";
