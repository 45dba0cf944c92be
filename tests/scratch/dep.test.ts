import { test } from "vitest";
import { makeJobs } from "../../apps/edge-deploy/src/jobs.ts";
import { answersOf, deploy, versions } from "../../apps/edge-deploy/src/deploy.ts";
import { rowOf } from "../../apps/edge-deploy/src/page.ts";
import { mkdirSync } from "node:fs";
test("x", async () => {
  mkdirSync("/tmp/dep", { recursive: true });
  const jobs = makeJobs({ lines: 8, pages: 1, seconds: 8 });
  for (const job of jobs) {
    if (process.env.JOB && !job.name.includes(process.env.JOB)) continue;
    const src = await answersOf(job, job.file);
    console.log(job.name, src.map((a) => a.text).slice(0, 3));
    for (const v of versions) {
      if (process.env.V && v.suffix !== process.env.V) continue;
      try {
        const t = performance.now();
        const o = await deploy(job, v, src, "/tmp/dep");
        console.log(JSON.stringify(rowOf(o)), ((performance.now() - t) / 1000).toFixed(1) + " s");
        for (const d of o.diagnostics) console.log(d.severity, d.code, d.message.slice(0, 200));
        if (v.suffix === "_fp16") for (const p of o.passes) { const m = new Map<string, number>(); for (const s of p.skipped) m.set(s.reason!, (m.get(s.reason!) ?? 0) + 1); console.log([...m].slice(0, 12)); }
      } catch (e: any) { console.log("FAIL", v.name, String(e.message).slice(0, 600)); }
    }
  }
}, 600000);
