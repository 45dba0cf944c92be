import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf, graph, model, node, type ResidentTensor, value } from "@pare/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeImage, type Pixels } from "./decode.ts";
import { images } from "./images.ts";
import { completed, type Preprocessing, preprocess } from "./preprocess.ts";
import { resample } from "./resample.ts";

/** The image that the answers of Pillow 13.0.0 below are of. */
const picture: Pixels = {
  width: 13,
  height: 7,
  rgb: Uint8Array.from({ length: 13 * 7 * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % 13, Math.floor(i / 39), i % 3];
    return (x * 37 + y * 59 + c * 101 + x * y * 7) % 256;
  }),
};
const whole = { left: 0, top: 0, width: 13, height: 7 };
const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAA0AAAAHBAMAAAAhXtopAAAAGFBMVEWF6k9r0DUskeFEqQ7xVrvOM5g6Wb6qD3SBnpUsAAAAQ0lEQVR4nAE4AMf/AGIxB1YjEFABMdQ970TN7gEXO99ErvQ5AHQhBSMHQhACzvY99DvVMALfXe471SzAAvbvRN47wiA0FhaRhy+O/wAAAABJRU5ErkJggg==";
const JPEG =
  "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkKCgr/2wBDAQICAgICAgUDAwUKBwYHCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgr/wAARCAAHAA0DAREAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAABP/EACAQAAIDAAEEAwAAAAAAAAAAAAIDAQQFBgAHERMSFCL/xAAVAQEBAAAAAAAAAAAAAAAAAAAEBf/EAB8RAAMBAAICAwEAAAAAAAAAAAIDBAEFEwYSAAcRIv/aAAwDAQACEQMRAD8APlXs7l9V3aPD2Vv1KV1ScjFikKqLLdd4qbWhErlZT50VVvsvayfTLhmHStTTLc3h+FbnLDS0VNQBnYZMN7RYwFIpfRhbYtPtOWplkEWn15lBTLfq0GRx/D8bwtVnFJxMKRXj0fhdgz0KHVHW9bFNoZcBZowStCFTCUdDF9Te19fK7TzRz+Ndy+d3EZFDOMuNp3PbckwK9cWbvyh/gzBNeCOZXJ/APKwkZjq27w/yzn7ac4aFhU4zG0mvqTvvSlL8UfVdGZavTMh1j7v5Zm9+MJw/F2eX+OfXQ+9LSSREc5lOk1/rZNzGAwIq+LSBr12bo4qoR99Fd9IZmK//2Q==";
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "base64"));

describe("decodeImage", () => {
  test("reads a PNG with a palette as Pillow does", () => {
    const { width, height, rgb } = decodeImage(bytes(PNG), "a.png");
    expect([width, height, [...rgb.subarray(0, 12)]]).toEqual([
      13,
      7,
      [58, 89, 190, 44, 145, 225, 68, 169, 14, 107, 208, 53],
    ]);
  });

  test("reads a JPEG as libjpeg does, but for rounding", () => {
    const { width, height, rgb } = decodeImage(bytes(JPEG), "a.jpg");
    expect([width, height]).toEqual([13, 7]);
    const theirs = [0, 107, 202, 43, 134, 241, 75, 174, 22, 108, 212, 55];
    theirs.forEach((v, i) => void expect(Math.abs(rgb[i]! - v)).toBeLessThanOrEqual(3));
  });

  test("names the file that is none, or broken, or too large", () => {
    expect(() => decodeImage(new TextEncoder().encode("hello"), "a.png")).toThrow(/neither PNG nor JPEG.*a\.png/s);
    expect(() => decodeImage(bytes(PNG).subarray(0, 60), "b.png")).toThrow(/cannot be decoded.*b\.png/s);
    expect(() => decodeImage(bytes(JPEG).subarray(0, 200), "b.jpg")).toThrow(/cannot be decoded.*b\.jpg/s);
    const huge = bytes(PNG);
    new DataView(huge.buffer).setUint32(16, 0x7fffffff);
    expect(() => decodeImage(huge, "c.png")).toThrow(/pixels, more than/);
  });
});

describe("resample", () => {
  test.each([
    [
      5,
      4,
      [
        73, 159, 114, 141, 150, 112, 119, 114, 133, 113, 122, 126, 131, 150, 121, 147, 110, 119, 114, 141, 125, 120,
        116, 116, 123, 122, 114, 140, 110, 135, 134, 121, 166, 151, 128, 134, 124, 136, 138, 148, 122, 149, 154, 124,
        137, 111, 121, 126, 139, 110, 111, 138, 139, 111, 135, 128, 146, 128, 134, 124,
      ],
    ],
    [
      16,
      3,
      [
        51, 152, 88, 82, 143, 119, 117, 163, 106, 133, 160, 98, 132, 123, 124, 167, 158, 114, 116, 122, 148, 127, 104,
        117, 125, 116, 107, 93, 127, 142, 85, 76, 173, 120, 111, 89, 155, 146, 101, 139, 155, 136, 115, 136, 140, 146,
        101, 92, 162, 97, 123, 161, 96, 154, 135, 118, 165, 111, 132, 148, 117, 130, 113, 152, 177, 100, 140, 142, 144,
        108, 121, 147, 105, 113, 121, 131, 121, 101, 129, 153, 135, 127, 102, 133, 165, 130, 132, 148, 121, 151, 123,
        104, 156, 165, 146, 111, 102, 148, 158, 115, 135, 131, 110, 110, 131, 127, 99, 133, 169, 108, 115, 139, 94, 85,
        152, 150, 141, 145, 144, 114, 123, 136, 114, 117, 143, 149, 172, 128, 122, 112, 98, 182, 149, 140, 145, 157,
        131, 103, 132, 113, 104, 119, 165, 156,
      ],
    ],
  ])("to %i x %i it is Pillow's BILINEAR", (width, height, theirs) => {
    const { rgb } = resample(picture, whole, width, height);
    expect(Math.max(...rgb.map((v, i) => Math.abs(v - theirs[i]!)))).toBeLessThanOrEqual(1);
  });

  test("to its own size it is itself", () => {
    expect(resample(picture, whole, 13, 7).rgb).toEqual(picture.rgb);
  });
});

const network = (shape: (number | string)[], dtype: "float32" | "uint8" = "float32") =>
  model(
    graph({
      inputs: [value("x", dtype, shape)],
      outputs: [value("y", dtype, shape)],
      nodes: [node("Identity", ["x"], ["y"])],
    }),
  );
const numbers = (how: Partial<Preprocessing>, of = picture) => {
  const t = preprocess(of, completed(how));
  return { shape: t.shape, at: dataOf(t as ResidentTensor<"float32">) as Float32Array };
};

describe("preprocess", () => {
  const asItIs = { size: [7, 13], scale: 1 } as const;

  test("layout, order of channels, mean and deviation are as they are said", () => {
    const rgb = numbers(asItIs);
    expect(rgb.shape).toEqual([1, 3, 7, 13]);
    expect([rgb.at[1], rgb.at[91 + 1], rgb.at[182 + 1]]).toEqual([37, 138, 239]);
    const bgr = numbers({ ...asItIs, layout: "NHWC", channels: "BGR", mean: [1, 2, 3], std: [2, 4, 8] });
    expect(bgr.shape).toEqual([1, 7, 13, 3]);
    expect([...bgr.at.subarray(3, 6)]).toEqual([119, 34, 34 / 8]);
    expect(numbers({ ...asItIs, channels: "gray" }).at[1]).toBe(Math.round(0.299 * 37 + 0.587 * 138 + 0.114 * 239));
    expect(numbers({ size: [7, 13] }).at[1]).toBeCloseTo(37 / 255, 6);
  });

  test("it is cut from the middle, squeezed, or fit inside", () => {
    expect([...numbers({ ...asItIs, size: [7, 7] }).at.subarray(0, 7)]).toEqual(
      [3, 4, 5, 6, 7, 8, 9].map((x) => (37 * x) % 256),
    );
    expect(numbers({ ...asItIs, size: [14, 13], fit: "contain" }).at.slice(0, 13)).toEqual(new Float32Array(13));
    expect(numbers({ ...asItIs, size: [4, 5], fit: "stretch" }).at[0]).toBe(resample(picture, whole, 5, 4).rgb[0]);
    const middle = { left: 4.75, top: 1.75, width: 3.5, height: 3.5 };
    expect(numbers({ ...asItIs, size: [4, 4], shorterSide: 8 }).at[0]).toBe(resample(picture, middle, 4, 4).rgb[0]);
  });

  test("what is not said is read off the model's input", () => {
    expect(completed({}, network(["N", 3, 32, 48]))).toMatchObject({ size: [32, 48], layout: "NCHW", channels: "RGB" });
    expect(completed({}, network(["N", 32, 48, 1]))).toMatchObject({
      size: [32, 48],
      layout: "NHWC",
      channels: "gray",
    });
    expect(completed({}, network([1, 32, 48, 3], "uint8"))).toMatchObject({ dtype: "uint8", scale: 1 });
    expect(() => completed({}, network(["N", 3, "H", "W"]))).toThrow(/size of images is not said/);
    expect(() => completed({ size: [8, 8], mean: [1, 2] })).toThrow(/mean has 2 numbers/);
    expect(() => completed({ size: [8, 8], std: [0] })).toThrow(/deviation is 0/);
    expect(() => completed({ size: [8, 8], shorterSide: 4 })).toThrow(/does not cover/);
  });
});

describe("images", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "pare-images-"));
    await mkdir(join(folder, "b"));
    await writeFile(join(folder, "a.png"), bytes(PNG));
    await writeFile(join(folder, "b", "c.JPG"), bytes(JPEG));
    await writeFile(join(folder, "notes.txt"), "not an image");
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("are the samples of a folder and those inside, the same each time, and say how they were made", async () => {
    const samples = await images(folder, network(["N", 3, 8, 8]), { mean: [0.5], std: [0.5] });
    expect(samples.count).toBe(2);
    expect(samples.preprocessing).toMatchObject({ size: [8, 8], mean: [0.5], fit: "cover" });
    for (let round = 0; round < 2; round++) {
      const shapes = [];
      for await (const s of samples.open()) shapes.push(s["x"]!.shape);
      expect(shapes).toEqual([
        [1, 3, 8, 8],
        [1, 3, 8, 8],
      ]);
    }
    await expect(images(join(folder, "b", ".."), network(["N", 3, "H", "W"]))).rejects.toThrow(/size/);
    await writeFile(join(folder, "b", "d.png"), "broken");
    const broken = async () => {
      for await (const _ of samples2.open());
    };
    const samples2 = await images(folder, network(["N", 3, 8, 8]));
    await expect(broken()).rejects.toThrow(/neither PNG nor JPEG.*d\.png/s);
  });
});
