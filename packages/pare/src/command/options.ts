import { type Command, InvalidArgumentError, Option } from "commander";
import { type Engine, engineNames } from "../engines.ts";
import type { Preprocessing } from "../images/preprocess.ts";

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

export const withCommon = (command: Command): Command =>
  command
    .option("--json", "print one JSON document on stdout")
    .option("-q, --quiet", "no progress and no warnings")
    .option("--debug", "show where in the program an error arose");

export interface EngineOptions {
  readonly engine?: Engine;
}

/** Which engine runs the models. */
export const withEngine = (command: Command): Command =>
  command.addOption(
    new Option("--engine <name>", "ONNX Runtime, LiteRT or TensorFlow.js (default: that of the format)").choices(
      engineNames,
    ),
  );

export interface SampleOptions {
  readonly samples?: string;
  readonly shape?: ReadonlyMap<string, readonly number[]>;
  readonly threads?: number;
  readonly imageSize?: readonly [number, number];
  readonly imageFit?: NonNullable<Preprocessing["fit"]>;
  readonly imageShorterSide?: number;
  readonly imageLayout?: NonNullable<Preprocessing["layout"]>;
  readonly imageChannels?: NonNullable<Preprocessing["channels"]>;
  readonly imageScale?: number;
  readonly imageMean?: readonly number[];
  readonly imageStd?: readonly number[];
}

/** What the flags say of images. */
export const preprocessingOf = (o: Omit<SampleOptions, "threads">): Partial<Preprocessing> => ({
  ...(o.imageSize ? { size: o.imageSize } : {}),
  ...(o.imageFit ? { fit: o.imageFit } : {}),
  ...(o.imageShorterSide === undefined ? {} : { shorterSide: o.imageShorterSide }),
  ...(o.imageLayout ? { layout: o.imageLayout } : {}),
  ...(o.imageChannels ? { channels: o.imageChannels } : {}),
  ...(o.imageScale === undefined ? {} : { scale: o.imageScale }),
  ...(o.imageMean ? { mean: o.imageMean } : {}),
  ...(o.imageStd ? { std: o.imageStd } : {}),
});

/** Options of commands that run models. */
export const withSamples = (command: Command): Command =>
  command
    .option(
      "--samples <path>",
      "inputs: a .npy, .npz or IDX file, or a folder of them or of images (see the README); without it inputs are made up",
    )
    .addOption(
      image("--image-size <height,width>", "size of images, where the model leaves it open").argParser(numbers),
    )
    .addOption(
      image("--image-fit <how>", "how they are brought to it (default cover)").choices(["cover", "stretch", "contain"]),
    )
    .addOption(image("--image-shorter-side <n>", "its length before the size is cut from the middle").argParser(count))
    .addOption(
      image("--image-layout <layout>", "order of axes (default: as the model's input)").choices(["NCHW", "NHWC"]),
    )
    .addOption(image("--image-channels <order>", "order of channels (default RGB)").choices(["RGB", "BGR", "gray"]))
    .addOption(image("--image-scale <x>", "factor of 0 to 255 (default 1/255)").argParser(number))
    .addOption(image("--image-mean <a,b,c>", "subtracted from the scaled channels").argParser(numbers))
    .addOption(image("--image-std <a,b,c>", "what they are then divided by").argParser(numbers))
    .option("--shape <input=1,3,224,224>", "shape of a made-up input; once for each", shape)
    .addOption(new Option("--threads <n>", "threads of the engine").argParser(count));

const image = (flags: string, about: string) => new Option(flags, about).helpGroup("Samples from images:");

const numbers = (text: string): number[] => text.split(",").map(number);

export function count(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("A whole number from 1 is needed.");
  return n;
}

export const fraction = (text: string): number => {
  const n = text.endsWith("%") ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (!(n >= 0 && n <= 1)) throw new InvalidArgumentError("A number from 0 to 1 is needed.");
  return n;
};

export const number = (text: string): number => {
  const n = Number(text);
  if (text.trim() === "" || Number.isNaN(n)) throw new InvalidArgumentError("A number is needed.");
  return n;
};

export function shape(
  text: string,
  before: ReadonlyMap<string, readonly number[]> = new Map(),
): ReadonlyMap<string, readonly number[]> {
  const cut = text.lastIndexOf("=");
  const dims = text
    .slice(cut + 1)
    .split(/[,x]/)
    .filter((d) => d !== "")
    .map(Number);
  if (cut < 1 || dims.some((d) => !Number.isInteger(d) || d < 0))
    throw new InvalidArgumentError("It is written input=1,3,224,224.");
  return new Map([...before, [text.slice(0, cut), dims]]);
}
