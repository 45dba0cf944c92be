import { dataOf, type ResidentTensor, tensor } from "@pare/core";
import { type Image, resize, toPlanes } from "./image.ts";

const WIDTH = 192;
const HEIGHT = 48;

/** A line as the network takes it: [1, 3, 48, 192], the right filled with zeros. */
export function orientationInput(image: Image): ResidentTensor<"float32"> {
  const width = Math.min(WIDTH, Math.max(8, Math.round((image.width * HEIGHT) / image.height)));
  const planes = toPlanes(resize(image, width, HEIGHT), WIDTH, HEIGHT, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]);
  return tensor("float32", [1, 3, HEIGHT, WIDTH], planes);
}

/** Whether the network says that the line stands on its head, from its probabilities [1, 2] of 0 and 180 degrees. */
export function isUpsideDown(probabilities: ResidentTensor): boolean {
  const [upright = 0, turned = 0] = dataOf(probabilities as ResidentTensor<"float32">);
  return turned > upright;
}
