import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatDiagnostic, isPareError } from "@pare/core";
import { writeFileAtomic } from "@pare/io";
import { textTable } from "@pare/report";
import { answersOf, deploy, type Outcome, versionsFor } from "./deploy.ts";
import { type Answer, type Job, makeJobs } from "./jobs.ts";
import { pageOf, rowOf, summary } from "./page.ts";

const usage = `npm start -- [--full] [--json] [--out DIR]

Makes smaller versions of real OCR and voice models, runs them beside their sources, and writes a table and a page.

  --full   200 lines of text and a minute of sound instead of 16 lines and 12 seconds
  --json   the table as JSON on standard output
  --out    where models and report.html go, by default out
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      full: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      out: { type: "string", default: "out" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort(new Error("interrupted")));
  const { signal } = abort;
  mkdirSync(values.out, { recursive: true });
  const say = (text: string) => process.stderr.write(`${text}\n`);

  const jobs = makeJobs(values.full ? { lines: 200, pages: 4, seconds: 60 } : { lines: 16, pages: 2, seconds: 12 });
  const sources = new Map<Job, readonly Answer[]>();
  const outcomes: Outcome[] = [];
  for (const job of jobs) {
    say(`${job.name}: source`);
    const answers = await answersOf(job, job.file, signal);
    sources.set(job, answers);
    for (const version of versionsFor(job, values.full)) {
      say(`${job.name}: ${version.name}`);
      outcomes.push(await deploy(job, version, answers, values.out, signal));
    }
  }
  const report = join(values.out, "report.html");
  await writeFileAtomic(report, pageOf(outcomes, sources));
  if (values.json) process.stdout.write(`${JSON.stringify(outcomes.map(rowOf))}\n`);
  else {
    process.stdout.write(`\n${textTable(summary(outcomes))}\n\n`);
    for (const o of outcomes)
      for (const d of o.diagnostics)
        if (d.severity !== "info") process.stdout.write(`${o.job.name}, ${o.version.name}: ${formatDiagnostic(d)}\n`);
    process.stdout.write(`\nModels and pictures: ${report}\n`);
  }
  return 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`${isPareError(error) ? error.message : String((error as Error)?.stack ?? error)}\n`);
    process.exit(1);
  },
);
