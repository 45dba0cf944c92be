import { failure } from "@pare/core";
import jpeg from "jpeg-js";
import { PNG } from "pngjs";

/** Eight bits for red, green and blue of each pixel, row by row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** Most pixels of one image; more are refused before they are unpacked. */
const MAX_PIXELS = 100e6;

const PNG_MARK = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Decodes a PNG or JPEG, which its first bytes tell. What is transparent is seen before black; the orientation that a camera
 * notes (EXIF) is not applied.
 * @throws PareError `pare/image` that names the file
 */
export function decodeImage(bytes: Uint8Array, file: string): Pixels {
  const bad = (message: string, cause?: unknown) =>
    failure("pare/image", message, { location: { file }, ...(cause === undefined ? {} : { cause }) });
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isPng = PNG_MARK.every((b, i) => data[i] === b);
  if (!isPng && !(data[0] === 0xff && data[1] === 0xd8)) throw bad("it is neither PNG nor JPEG");
  if (isPng) {
    if (data.length < 24) throw bad("it ends inside its header");
    const pixels = data.readUInt32BE(16) * data.readUInt32BE(20);
    if (pixels > MAX_PIXELS) throw bad(`it has ${pixels} pixels, more than ${MAX_PIXELS}`);
  }
  try {
    const image = isPng
      ? PNG.sync.read(data)
      : jpeg.decode(data, { useTArray: true, maxResolutionInMP: MAX_PIXELS / 1e6, maxMemoryUsageInMB: 1024 });
    return { width: image.width, height: image.height, rgb: opaque(image.data) };
  } catch (cause) {
    throw bad(`it cannot be decoded: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
}

/** Red, green and blue of pixels that have an alpha, over black. */
function opaque(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0, o = 0; i < rgba.length; i += 4, o += 3) {
    const alpha = rgba[i + 3]!;
    for (let c = 0; c < 3; c++) rgb[o + c] = alpha === 255 ? rgba[i + c]! : Math.round((rgba[i + c]! * alpha) / 255);
  }
  return rgb;
}
