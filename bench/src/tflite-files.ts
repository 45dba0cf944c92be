import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { filesOfTar } from "./tar.ts";

export interface TfliteFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Every `.tflite` below `<data>/data`, those in archives too. */
export function* tfliteFiles(data: string): Generator<TfliteFile> {
  const root = join(data, "data");
  const paths = existsSync(root) ? readdirSync(root, { recursive: true, encoding: "utf8" }).sort() : [];
  for (const path of paths) {
    const bytes = () => readFileSync(join(root, path));
    if (path.endsWith(".tflite")) yield { name: path, bytes: bytes() };
    else if (path.endsWith(".tar.gz"))
      for (const file of filesOfTar(gunzipSync(bytes())))
        if (file.path.endsWith(".tflite")) yield { name: file.path, bytes: file.bytes };
  }
}
