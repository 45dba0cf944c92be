import { appendFile, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { folderSink } from "@pare/io";
import { writeOnnx } from "@pare/onnx";
import { layoutOf, type Store, weightBytes } from "./stored.ts";

/** Streams models to files in `folder`. */
export function storeInFolder(folder: string): Store {
  let count = 0;
  return async (model, signal) => {
    const byteLength = weightBytes(model);
    const base = `model${count++}`;
    const name = `${base}.onnx`;
    await writeOnnx(model, folderSink(folder, { durable: false }), { name, ...layoutOf(byteLength), signal });
    const written = new Map<string, Promise<string>>();
    const write = async (id: string, patch: () => Uint8Array) => {
      const path = join(folder, `${base}-${id}.onnx`);
      await copyFile(join(folder, name), path);
      await appendFile(path, patch());
      return path;
    };
    return {
      byteLength,
      async variant(id, patch) {
        if (!patch) return { path: join(folder, name) };
        const path = written.get(id) ?? write(id, patch);
        written.set(id, path);
        return { path: await path };
      },
    };
  };
}
