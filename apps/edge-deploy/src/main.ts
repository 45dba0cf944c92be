import { join } from "node:path";
import { formatDiagnostic } from "@pare/core";
import { writeFileAtomic } from "@pare/io";
import { textTable } from "@pare/report";
import { sampleApp, say } from "./command.ts";
import { answersOf, deploy, type Outcome, versionsFor } from "./deploy.ts";
import { type Answer, type Job, makeJobs } from "./jobs.ts";
import { pageOf, rowOf, summary } from "./page.ts";

const usage = `npm start -- [--full] [--json] [--out DIR]

Makes smaller versions of real OCR and voice models, runs them beside their sources, and writes a table and a page.

  --full   200 lines of text and a minute of sound instead of 16 lines and 12 seconds
  --json   the table as JSON on standard output
  --out    where models and report.html go, by default out
`;

sampleApp(usage, async ({ full, json, out, signal }) => {
  const jobs = makeJobs(full ? { lines: 200, pages: 4, seconds: 60 } : { lines: 16, pages: 2, seconds: 12 });
  const sources = new Map<Job, readonly Answer[]>();
  const outcomes: Outcome[] = [];
  for (const job of jobs) {
    say(`${job.name}: source`);
    const answers = await answersOf(job, job.file, signal);
    sources.set(job, answers);
    for (const version of versionsFor(job, full)) {
      say(`${job.name}: ${version.name}`);
      outcomes.push(await deploy(job, version, answers, out, signal));
    }
  }
  const report = join(out, "report.html");
  await writeFileAtomic(report, pageOf(outcomes, sources));
  if (json) process.stdout.write(`${JSON.stringify(outcomes.map(rowOf))}\n`);
  else {
    process.stdout.write(`\n${textTable(summary(outcomes))}\n\n`);
    for (const o of outcomes)
      for (const d of o.diagnostics)
        if (d.severity !== "info") process.stdout.write(`${o.job.name}, ${o.version.name}: ${formatDiagnostic(d)}\n`);
    process.stdout.write(`\nModels and pictures: ${report}\n`);
  }
});
