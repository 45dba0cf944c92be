import { test } from "vitest";
import * as ortn from "../../apps/edge-deploy/node_modules/onnxruntime-node";
import { tensor, storageView } from "@pare/core";
import { synthesise, sileroV5, sileroLegacy, framesOf, truthAgreement } from "../../apps/edge-deploy/src/voice/index.ts";
import { models } from "../../apps/edge-deploy/src/models.ts";
test("x", async () => {
  for (const [path, d] of [[models.voice(), sileroV5], [models.voiceLegacy(), sileroLegacy]] as const) {
  const s = await ortn.InferenceSession.create(path);
  console.log(s.inputNames, s.outputNames);
  for (const seed of [1,2,3]) {
  const signal = synthesise({ seed, seconds: 10 });
  const f = (t: any) => new ortn.Tensor(t.dtype, storageView(t.dtype, t.bytes) as any, t.shape);
  const st: any = {}; for (const k in d.initialState) st[k] = f(d.initialState[k]);
  const ps: number[] = [];
  for (const fr of framesOf(signal, d)) { const o = await s.run({ input: f(fr.input), sr: f(fr.sr), ...st }); for (const [a,b] of Object.entries(d.state)) st[b] = o[a]; ps.push((o.output!.data as any)[0]); }
  let peak=0; for (const v of signal.samples) peak=Math.max(peak,Math.abs(v));
  console.log(seed, peak, truthAgreement(ps, signal, d), JSON.stringify(signal.speech.map(x=>x.map(y=>+y.toFixed(1)))), ps.map(p=>Math.round(p*9)).join(""));
  }}
}, 120000);
