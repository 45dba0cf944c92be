import { dataOf, type ResidentTensor, tensor } from "@pare/core";
import { type Box, type Image, resize, toPlanes } from "./image.ts";

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

/** Bounding boxes of the regions, connected also at corners, of a probability map [1, 1, H, W] above `threshold`, from the top; specks are left out. */
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
      [left, top, right, bottom] = [
        Math.min(left, x),
        Math.min(top, y),
        Math.max(right, x + 1),
        Math.max(bottom, y + 1),
      ];
      count++;
      for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++)
        for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
          const next = ny * width + nx;
          if (!open[next]) continue;
          open[next] = 0;
          stack.push(next);
        }
    }
    if (count >= smallest) boxes.push({ left, top, right, bottom });
  }
  return boxes.sort((a, b) => a.top - b.top || a.left - b.left);
}

/** How far a region grows back, as PaddleOCR sets it. */
const UNCLIP = 1.5;

/**
 * Where on the page the text stands, to be cut out and read: the network is trained on shrunken regions, so each box of the map
 * grows by area * 1.5 / perimeter on all sides (Liao et al. 2020, Real-time Scene Text Detection with Differentiable Binarization).
 */
export function textBoxes(map: ResidentTensor, page: Image): Box[] {
  const [height, width] = map.shape.slice(-2) as [number, number];
  const [sx, sy] = [page.width / width, page.height / height];
  return boxesOf(map).map(({ left, top, right, bottom }) => {
    const [w, h] = [right - left, bottom - top];
    const grow = (w * h * UNCLIP) / (2 * (w + h));
    return {
      left: Math.max(0, (left - grow) * sx),
      top: Math.max(0, (top - grow) * sy),
      right: Math.min(page.width, (right + grow) * sx),
      bottom: Math.min(page.height, (bottom + grow) * sy),
    };
  });
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
