// Compiles src/kernels/kernels.wat to src/kernels/kernels.gen.ts: node scripts/compile-kernels.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const folder = new URL("../src/kernels/", import.meta.url);

/** The text of kernels.gen.ts. */
export async function generated() {
  const { parseWat } = await wabt();
  const module = parseWat("kernels.wat", readFileSync(new URL("kernels.wat", folder), "utf8"), { simd: true });
  const { buffer } = module.toBinary({});
  return `/** WebAssembly of kernels.wat in base64. Made by scripts/compile-kernels.mjs. */
export const wasm =
  "${Buffer.from(buffer).toString("base64")}";
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(new URL("kernels.gen.ts", folder), await generated());
