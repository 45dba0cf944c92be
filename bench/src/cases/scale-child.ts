import { run, verify } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { optimize } from "@pare/optimize";
import { nodeCount } from "@pare/report";

/** Times each step from file to file, and prints them as JSON. */
const [from, to] = process.argv.slice(2) as [string, string];
const started = performance.now();
let last = started;
const seconds: Record<string, number> = {};
const lap = (step: string) => {
  const now = performance.now();
  seconds[step] = (now - last) / 1000;
  last = now;
};
const { model, close } = await openOnnx(from);
lap("open");
const { model: optimized, report } = await run(optimize(), model);
lap("optimize");
const problems = verify(optimized).length;
lap("verify");
await writeOnnx(optimized, to);
lap("write");
await close();
const nodes = nodeCount(optimized);
const found = new Set(report.passes.flatMap((p) => p.done.map((d) => `${d.facts?.["by"]} ${d.facts?.["rule"] ?? ""}`)));
process.stdout.write(
  JSON.stringify({
    seconds,
    total: (last - started) / 1000,
    nodes,
    problems,
    done: report.passes[0]!.done.length,
    rules: found.size,
  }),
);
