import { createHash } from "node:crypto";
import { createCanvas, Image as Decoder } from "@napi-rs/canvas";
import { expect, test } from "vitest";
import { dictionary, renderLines, toPng } from "./index.ts";

const hash = (lines: ReturnType<typeof renderLines>) =>
  lines.map((l) => createHash("sha256").update(l.text).update(l.image.data).digest("hex"));

test("a seed gives the same pixels, and a line does not depend on how many there are", () => {
  const twelve = hash(renderLines({ seed: 7, count: 12 }));
  expect(hash(renderLines({ seed: 7, count: 5 }))).toEqual(twelve.slice(0, 5));
  expect(new Set([...twelve, ...hash(renderLines({ seed: 8, count: 12 }))]).size).toBe(24);
});

test("lines vary as promised and hold only characters of the dictionary", () => {
  const lines = renderLines({ seed: 1, count: 200 });
  const known = new Set(dictionary());
  for (const { text, image } of lines) {
    expect(text.length).toBeGreaterThanOrEqual(8);
    expect(text.length).toBeLessThanOrEqual(30);
    expect([...text].filter((c) => !known.has(c))).toEqual([]);
    expect(text).toBe(text.trim());
    expect(image.data.length).toBe(image.width * image.height * 3);
  }
  const kinds = (of: (l: (typeof lines)[number]) => unknown) => new Set(lines.map(of)).size;
  expect(kinds((l) => l.font)).toBeGreaterThanOrEqual(3);
  expect(kinds((l) => l.size)).toBeGreaterThanOrEqual(4);
  expect(kinds((l) => l.noise)).toBeGreaterThanOrEqual(3);
  const all = lines.map((l) => l.text).join("");
  for (const kind of [/[a-z]/, /[A-Z]/, /\d/, /[^\w ]/, / /]) expect(all).toMatch(kind);
});

test("every font is drawn by itself: the same glyphs differ", () => {
  const lines = renderLines({ seed: 3, count: 60 });
  const widths = new Map<string, number[]>();
  for (const l of lines) {
    const perCharacter = l.image.width / l.size / l.text.length;
    widths.set(l.font, [...(widths.get(l.font) ?? []), perCharacter]);
  }
  const spread = (of: string) => Math.max(...widths.get(of)!) - Math.min(...widths.get(of)!);
  expect(spread("mono")).toBeLessThan(spread("sans"));
});

test("a PNG holds the pixels of the image", async () => {
  const { image } = renderLines({ seed: 2, count: 1 })[0]!;
  const decoder = new Decoder();
  const loaded = new Promise<void>((resolve, reject) => {
    decoder.onload = () => resolve();
    decoder.onerror = reject;
  });
  decoder.src = Buffer.from(toPng(image));
  await loaded;
  const context = createCanvas(image.width, image.height).getContext("2d");
  context.drawImage(decoder, 0, 0);
  const rgba = context.getImageData(0, 0, image.width, image.height).data;
  expect(Uint8Array.from(image.data, (_, i) => rgba[Math.floor(i / 3) * 4 + (i % 3)]!)).toEqual(image.data);
});
