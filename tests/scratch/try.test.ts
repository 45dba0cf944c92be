import { test } from "vitest";
import { writeFileSync } from "node:fs";
import * as ortn from "../../apps/edge-deploy/node_modules/onnxruntime-node";
import { tensor, storageView } from "@pare/core";
import { renderLines, readLine, dictionary, characterErrorRate, toPng } from "../../apps/edge-deploy/src/ocr/index.ts";
import { models } from "../../apps/edge-deploy/src/models.ts";
test("x", async () => {
  const s = await ortn.InferenceSession.create(models.recognition());
  const chars = dictionary();
  const runm = async (v: any) => { const f: any = {}; for (const k in v) f[k] = new ortn.Tensor("float32", storageView("float32", v[k].bytes), v[k].shape); const o = await s.run(f); const r: any = {}; for (const k in o) r[k] = tensor("float32", o[k].dims as number[], o[k].data as Float32Array); return r; };
  const lines = renderLines({ seed: 1, count: 100 });
  let ok = 0, cer = 0;
  for (const [i, l] of lines.entries()) {
    const got = await readLine(runm, l.image, chars, s.inputNames[0]);
    if (got === l.text) ok++; else if (i < 40) console.log(JSON.stringify(l.text), JSON.stringify(got), l.font, l.size, l.noise);
    cer += characterErrorRate(l.text, got);
    if (i < 4) writeFileSync(`/tmp/line${i}.png`, toPng(l.image));
  }
  console.log(ok, cer / lines.length);
}, 120000);
