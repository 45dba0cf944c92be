import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import type { ValueType } from "@pare/core";
import { dtypeOf } from "@pare/onnx";

/** Types that `onnx.shape_inference` gives, by model, path of the graph and value. fixtures/README.md says the format. */
export type OnnxTypes = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;

export const readOnnxTypes = (file: URL): OnnxTypes =>
  JSON.parse(gunzipSync(readFileSync(fileURLToPath(file))).toString()) as OnnxTypes;

/**
 * Why an inferred type says less than one of the fixture, or something else; undefined where it says as much. A dimension
 * that they do not know as a number may be anything.
 */
export function lessThan(theirs: string, ours: ValueType | undefined): string | undefined {
  const found = describe(ours);
  const problem = `${found} where onnx says ${theirs}`;
  const inner = /^([so])\((.*)\)$/.exec(theirs);
  if (inner) {
    if (ours?.kind !== (inner[1] === "s" ? "sequence" : "optional")) return problem;
    return inner[2] ? lessThan(inner[2], ours.element) : undefined;
  }
  if (ours?.kind !== "tensor") return problem;
  const [code, dims] = theirs.split(":");
  if (dtypeOf(Number(code)) !== ours.dtype) return problem;
  if (dims === undefined) return undefined;
  const expected = dims === "" ? [] : dims.split(",");
  const fits =
    ours.shape?.length === expected.length && expected.every((d, i) => d === "?" || d === String(ours.shape![i]));
  return fits ? undefined : problem;
}

export function describe(type: ValueType | undefined): string {
  if (!type) return "nothing";
  if (type.kind === "sequence" || type.kind === "optional") return `${type.kind} of ${describe(type.element)}`;
  return type.kind === "tensor"
    ? `${type.dtype} ${type.shape ? `[${type.shape.map((d) => d ?? "?")}]` : ""}`
    : type.kind;
}
