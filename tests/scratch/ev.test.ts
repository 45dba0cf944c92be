import { readdirSync, readFileSync, existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { memorySource, resident, storageView, type ResidentTensor } from "@pare/core";
import { decode, openOnnx, readTensor } from "@pare/onnx";
import { evaluate } from "../../packages/ops/src/evaluate.ts";
const root = process.env.NT!;
test("x", async () => {
  let right = 0, missing = 0, other = 0; const wrong: string[] = []; const miss = new Map<string, number>(); const err: string[] = [];
  for (const name of readdirSync(root).sort()) {
    const dir = join(root, name); if (!existsSync(join(dir, "model.onnx"))) continue;
    const ds = join(dir, "test_data_set_0"); if (!existsSync(ds)) continue;
    try {
      const s = await openOnnx(join(dir, "model.onnx"));
      const pb = async (f: string) => resident(readTensor(await decode(memorySource(readFileSync(f)), "TensorProto") as any));
      const ins = readdirSync(ds).filter((f) => f.startsWith("input_")).length;
      const inputs: Record<string, ResidentTensor> = {};
      const names = s.model.graph.inputs.map((v) => v.name);
      for (let i = 0; i < ins; i++) { inputs[names[i]!] = await pb(join(ds, `input_${i}.pb`)); }
      const got = await evaluate(s.model, inputs);
      let ok = true; let why = "";
      for (const [i, o] of s.model.graph.outputs.entries()) {
        const want = await pb(join(ds, `output_${i}.pb`)); const g = got[o.name]!;
        if (g.dtype !== want.dtype || String(g.shape) !== String(want.shape)) { ok = false; why = `${g.dtype}[${g.shape}] vs ${want.dtype}[${want.shape}]`; break; }
        const { fromTensor, numbersOf } = await import("../../packages/ops/src/evaluate/array.ts");
        const a = numbersOf(fromTensor(g)), b = numbersOf(fromTensor(want));
        const fl = g.dtype.includes("float");
        for (let k = 0; k < a.length; k++) { const d = Math.abs(a[k]! - b[k]!); if (!(Object.is(a[k],b[k]) || d <= (fl ? 1e-7 + 1e-3 * Math.abs(b[k]!) : 0))) { ok = false; why = `[${k}] ${a[k]} vs ${b[k]}`; break; } }
      }
      if (ok) right++; else wrong.push(`${name}: ${why}`);
    } catch (e: any) {
      const code = e?.code ?? "?";
      if (code === "ops/no-rule") { missing++; const m = /: (?:\S+\.)?(\S+) is not/.exec(e.message)?.[1] ?? "?"; miss.set(m, (miss.get(m) ?? 0) + 1); }
      else { other++; err.push(`${name}: ${String(e.message).slice(0, 150)}`); }
    }
  }
  console.log({ right, missing, other, wrong: wrong.length });
  console.log("WRONG\n" + wrong.join("\n")); console.log("ERR\n" + err.slice(0, 70).join("\n"));
  console.log([...miss].sort((a, b) => b[1] - a[1]).map(([k, v]) => `${k}:${v}`).join(" "));
}, 300000);
