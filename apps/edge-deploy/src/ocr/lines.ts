import { createCanvas, GlobalFonts } from "@napi-rs/canvas";
import { type FontName, fonts } from "../models.ts";
import { type Random, randomFrom } from "../random.ts";
import type { Image } from "./image.ts";

/** A rendered line of text and how it was rendered. */
export interface Line {
  readonly text: string;
  readonly image: Image;
  readonly font: FontName;
  /** Font size in pixels. */
  readonly size: number;
  /** Deviation of the noise in grey levels of 255. */
  readonly noise: number;
}

const words =
  "the quick brown fox jumps over lazy dog invoice total amount due date customer number street city order item price tax payment account balance report signal network edge device model layer weight scale value error median sample batch input output version release package delivery Monday Tuesday Friday January March August".split(
    " ",
  );
const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PUNCTUATION = [".", ",", ":", "-", "/", "#", "%", "(", ")", "+", "=", "&"];

/** 8 to 30 characters of words, numbers, codes and punctuation. */
function randomText(random: Random): string {
  const length = 8 + random.below(23);
  const part = (): string => {
    const kind = random.below(10);
    if (kind < 5) return random.pick(words);
    if (kind < 7) return String(random.below(10 ** (1 + random.below(6))));
    if (kind < 9)
      return Array.from({ length: 2 + random.below(7) }, () => CHARACTERS[random.below(CHARACTERS.length)]).join("");
    return random.pick(words).toUpperCase();
  };
  let text = part();
  while (text.length < length) text += (random.below(4) === 0 ? random.pick(PUNCTUATION) : " ") + part();
  return text.slice(0, length).trim().padEnd(8, "0");
}

const registered = new Map<FontName, string>();
function family(font: FontName): string {
  let name = registered.get(font);
  if (!name) {
    name = `pare-${font}`;
    GlobalFonts.registerFromPath(fonts[font](), name);
    registered.set(font, name);
  }
  return name;
}

/** Lines of text rendered from a seed: fonts, sizes, contrasts, blur and noise vary. Line `i` does not depend on `count`. */
export function renderLines({ seed, count }: { readonly seed: number; readonly count: number }): Line[] {
  return Array.from({ length: count }, (_, i) => renderLine(randomFrom(seed * 1_000_003 + i)));
}

function renderLine(random: Random): Line {
  const text = randomText(random);
  const font = random.pick(Object.keys(fonts) as FontName[]);
  const size = random.pick([20, 24, 28, 32, 40, 48]);
  const noise = random.pick([0, 4, 8, 14]);
  const dark = 10 + random.below(70);
  const light = 190 + random.below(66);
  // A detector cuts lines out close to their ends; the network reads wider margins as spaces.
  const spread = random.next();
  const margin = Math.round(size * (0.05 + 0.1 * spread));
  const above = Math.round(size * (0.1 + 0.2 * spread));
  const style = `${size}px ${family(font)}`;

  const measuring = createCanvas(8, 8).getContext("2d");
  measuring.font = style;
  const width = Math.ceil(measuring.measureText(text).width) + 2 * margin;
  const height = Math.ceil(size * 1.3) + above;
  const context = createCanvas(width, height).getContext("2d");
  context.fillStyle = `rgb(${light},${light},${light})`;
  context.fillRect(0, 0, width, height);
  context.fillStyle = `rgb(${dark},${dark},${dark})`;
  context.font = style;
  context.textBaseline = "alphabetic";
  context.fillText(text, margin + random.next(), Math.round(size + above / 2) + random.next());
  const pixels = context.getImageData(0, 0, width, height).data;

  const grey = Float32Array.from({ length: width * height }, (_, i) => pixels[i * 4]!);
  const sharp = random.below(3) > 0 ? grey : blur(grey, width, height);
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < sharp.length; i++) {
    const v = Math.round(Math.min(255, Math.max(0, sharp[i]! + noise * random.normal())));
    data.fill(v, i * 3, i * 3 + 3);
  }
  return { text, image: { width, height, data }, font, size, noise };
}

/** A binomial blur of 3 by 3. */
function blur(grey: Float32Array, width: number, height: number): Float32Array {
  const weights = [1, 2, 1];
  return grey.map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++)
      for (let dx = -1; dx <= 1; dx++) {
        const at = Math.min(height - 1, Math.max(0, y + dy)) * width + Math.min(width - 1, Math.max(0, x + dx));
        sum += grey[at]! * weights[dx + 1]! * weights[dy + 1]!;
      }
    return sum / 16;
  });
}
