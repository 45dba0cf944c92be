import { expect, test } from "vitest";
import { checkFileName } from "./file-name.ts";

test.each([
  ["CVE-2022-25882", "../../etc/passwd"],
  ["CVE-2024-27318", "subdir/../../x"],
  ["CVE-2025-51480 (writing)", "../overwritten"],
  ["absolute", "/etc/passwd"],
  ["drive letter", "C:/x"],
  ["drive letter without slash", "C:x"],
  ["UNC and backslashes", "\\\\host\\share"],
  ["backslash in the middle", "a\\..\\b"],
  ["NUL", "weights\0.bin"],
  ["empty", ""],
  ["empty segment", "a//b"],
  ["trailing slash", "a/"],
  ["the folder itself", "."],
  ["folder in a folder", "a/."],
  ["only dots", ".."],
])("%s: %j is refused", (_, name) => {
  expect(() => checkFileName(name)).toThrow(expect.objectContaining({ code: "io/file-name" }));
});

test.each([
  ["model.onnx.data", "model.onnx.data"],
  ["sub/w.bin", "sub/w.bin"],
  ["./w.bin", "w.bin"],
  ["..w", "..w"],
  ["__proto__", "__proto__"],
  ["Gewichte ß.bin", "Gewichte ß.bin"],
])("%j is fine", (name, normal) => expect(checkFileName(name)).toBe(normal));
