import { pathToFileURL } from "node:url";
import { namespaceOf, type OrtModule } from "./local.ts";

/**
 * Imports a build of ONNX Runtime. Its tensors hold float16 in a `Float16Array` where the platform has one (Node 24), which
 * its native binding takes for empty. It looks once, when the first tensor is made: that is done here, with the class out of
 * sight, so that float16 stays 16-bit integers everywhere.
 */
export async function importEngine(path: string): Promise<OrtModule> {
  const engine = namespaceOf((await import(pathToFileURL(path).href)) as object);
  const hidden = Object.getOwnPropertyDescriptor(globalThis, "Float16Array");
  if (!hidden) return engine;
  delete (globalThis as { Float16Array?: unknown }).Float16Array;
  try {
    new engine.Tensor("float32" as never, new Float32Array(1) as never, [1]);
  } finally {
    Object.defineProperty(globalThis, "Float16Array", hidden);
  }
  return engine;
}
