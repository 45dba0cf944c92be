import { dataOf, type ResidentTensor, tensor } from "@pare/core";
import { type Image, resize, toPlanes } from "./image.ts";

/** ImageNet's mean and deviation, in the order in which PaddleOCR applies them to blue, green, red. */
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

/** Probability above which a pixel is text, as PaddleOCR sets it. */
export const TEXT = 0.3;

/** A page as the network takes it: [1, 3, H, W], sides rounded to multiples of 32, at most `limit` pixels. */
export function detectionInput(image: Image, limit = 960): ResidentTensor<"float32"> {
  const factor = Math.min(1, limit / Math.max(image.width, image.height));
  const side = (n: number) => Math.max(32, Math.round((n * factor) / 32) * 32);
  const [width, height] = [side(image.width), side(image.height)];
  const planes = toPlanes(resize(image, width, height), width, height, MEAN, DEVIATION);
  return tensor("float32", [1, 3, height, width], planes);
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Bounding boxes of the connected regions of a probability map [1, 1, H, W] above `threshold`, from the top; specks are left out. */
export function boxesOf(map: ResidentTensor, threshold = TEXT, smallest = 30): Box[] {
  const [height, width] = map.shape.slice(-2) as [number, number];
  const open = Uint8Array.from(dataOf(map as ResidentTensor<"float32">), (p) => (p > threshold ? 1 : 0));
  const boxes: Box[] = [];
  for (let start = 0; start < open.length; start++) {
    if (!open[start]) continue;
    let [left, top, right, bottom, count] = [width, height, 0, 0, 0];
    const stack = [start];
    open[start] = 0;
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      const [x, y] = [i % width, Math.floor(i / width)];
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
      count++;
      for (const [nx, ny] of [[x - 1, y], [x + 1, y], [x, y - 1], [x, y + 1]] as const) {
        const next = ny * width + nx;
        if (nx < 0 || ny < 0 || nx >= width || ny >= height || !open[next]) continue;
        open[next] = 0;
        stack.push(next);
      }
    }
    if (count >= smallest) boxes.push({ left, top, right, bottom });
  }
  return boxes.sort((a, b) => a.top - b.top || a.left - b.left);
}

/** Intersection over union of the pixels that two maps call text; 1 where neither has any. */
export function mapAgreement(a: ResidentTensor, b: ResidentTensor, threshold = TEXT): number {
  const [x, y] = [dataOf(a as ResidentTensor<"float32">), dataOf(b as ResidentTensor<"float32">)];
  let both = 0;
  let either = 0;
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [x[i]! > threshold, y[i]! > threshold];
    if (p && q) both++;
    if (p || q) either++;
  }
  return either === 0 ? 1 : both / either;
}
