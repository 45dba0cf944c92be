import { createCanvas } from "@napi-rs/canvas";

/** An image of 8-bit red, green and blue, rows from the top. */
export interface Image {
  readonly width: number;
  readonly height: number;
  /** `width * height * 3` bytes. */
  readonly data: Uint8Array;
}

/** A rectangle in pixels; `right` and `bottom` are outside. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Bilinear resizing with pixel centres at half positions, as OpenCV's INTER_LINEAR does it. */
export function resize(image: Image, width: number, height: number): Image {
  const data = new Uint8Array(width * height * 3);
  const axis = (to: number, from: number) =>
    Array.from({ length: to }, (_, i) => {
      const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
      const low = Math.floor(at);
      return { low, high: Math.min(from - 1, low + 1), part: at - low };
    });
  const columns = axis(width, image.width);
  const rows = axis(height, image.height);
  let out = 0;
  for (const y of rows)
    for (const x of columns)
      for (let c = 0; c < 3; c++) {
        const at = (row: number, column: number) => image.data[(row * image.width + column) * 3 + c]!;
        const top = at(y.low, x.low) * (1 - x.part) + at(y.low, x.high) * x.part;
        const bottom = at(y.high, x.low) * (1 - x.part) + at(y.high, x.high) * x.part;
        data[out++] = Math.round(top * (1 - y.part) + bottom * y.part);
      }
  return { width, height, data };
}

/** The image turned by 180 degrees. */
export function upsideDown({ width, height, data }: Image): Image {
  const turned = new Uint8Array(data.length);
  for (let i = 0, n = width * height; i < n; i++) turned.set(data.subarray(i * 3, i * 3 + 3), (n - 1 - i) * 3);
  return { width, height, data: turned };
}

/** The part of an image inside `box`; what would lie outside is left out. */
export function crop(image: Image, box: Box): Image {
  const [x, y] = [Math.max(0, Math.floor(box.left)), Math.max(0, Math.floor(box.top))];
  const width = Math.max(1, Math.min(image.width, Math.ceil(box.right)) - x);
  const height = Math.max(1, Math.min(image.height, Math.ceil(box.bottom)) - y);
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const from = ((y + row) * image.width + x) * 3;
    data.set(image.data.subarray(from, from + width * 3), row * width * 3);
  }
  return { width, height, data };
}

/** Puts images below each other on white, `gap` pixels apart. */
export function stack(images: readonly Image[], width: number, gap: number): Image {
  const height = images.reduce((sum, i) => sum + i.height + gap, gap);
  const data = new Uint8Array(width * height * 3).fill(255);
  let y = gap;
  for (const image of images) {
    for (let row = 0; row < image.height; row++) {
      const part = image.data.subarray(
        row * image.width * 3,
        row * image.width * 3 + Math.min(image.width, width - gap) * 3,
      );
      data.set(part, ((y + row) * width + gap) * 3);
    }
    y += image.height + gap;
  }
  return { width, height, data };
}

/** The image as a PNG file. */
export function toPng(image: Image): Uint8Array {
  const canvas = createCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(image.width, image.height);
  for (let i = 0; i < image.width * image.height; i++) {
    pixels.data.set(image.data.subarray(i * 3, i * 3 + 3), i * 4);
    pixels.data[i * 4 + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toBuffer("image/png");
}

/**
 * Pixels as PaddleOCR's networks take them: `(pixel / 255 - mean) / deviation`, planes of [3, height, width] in OpenCV's
 * order blue, green, red, to which `mean` and `deviation` belong; zero right of and below the image.
 */
export function toPlanes(
  image: Image,
  width: number,
  height: number,
  mean: readonly number[],
  deviation: readonly number[],
): Float32Array {
  const planes = new Float32Array(3 * width * height);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < image.height; y++)
      for (let x = 0; x < image.width; x++)
        planes[(c * height + y) * width + x] =
          (image.data[(y * image.width + x) * 3 + 2 - c]! / 255 - mean[c]!) / deviation[c]!;
  return planes;
}
