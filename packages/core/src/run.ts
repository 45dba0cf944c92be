import { type Diagnostic, ensure, formatDiagnostic, isPareError, PareError, problem } from "./diagnostic.ts";
import { push } from "./local.ts";
import { labelOf, type Model } from "./model.ts";
import {
  type Facts,
  type Host,
  type Need,
  type Observation,
  PASS_API_VERSION,
  type Pass,
  type PassContext,
  type Progress,
  type Site,
  type Statistics,
} from "./pass.ts";
import { verify } from "./verify.ts";

/** One line of a coverage: what it is about, and numbers or the reason. */
export interface CoverageEntry {
  /** Name of the value or node, after the path of its graph. */
  readonly name: string;
  /** Operators that read the weight, or the node's own. */
  readonly ops: readonly string[];
  readonly reason?: string;
  readonly facts?: Facts;
}

export interface PassReport {
  readonly pass: string;
  readonly options: unknown;
  readonly milliseconds: number;
  /** Whether the model became another object. */
  readonly changed: boolean;
  readonly done: readonly CoverageEntry[];
  readonly skipped: readonly CoverageEntry[];
  readonly diagnostics: readonly Diagnostic[];
}

export interface Report {
  readonly passes: readonly PassReport[];
  /** For people: a line for each pass and the reasons for what was left alone. */
  toString(): string;
}

export interface RunOptions extends Host {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Gathers statistics over the samples for passes that `observe`. */
  readonly gather?: (
    model: Model,
    wishes: readonly Observation[],
    host: Host,
    signal: AbortSignal,
  ) => Promise<Statistics>;
  /** Given the model before a pass that failed, its name and options: what is needed to see the failure again. */
  readonly onFailure?: (reproducer: {
    model: Model;
    pass: string;
    options: unknown;
    error: unknown;
  }) => void | Promise<void>;
}

/**
 * Runs passes one after the other, and verifies the model after each.
 * @throws PareError with the pass in every diagnostic; `core/needs` when the host lacks what a pass needs;
 *   the signal's reason when aborted
 */
export async function run(
  passes: Pass | readonly Pass[],
  model: Model,
  options: RunOptions = {},
): Promise<{ model: Model; report: Report }> {
  const steps = flatten(Array.isArray(passes) ? passes : [passes as Pass]);
  ensure(steps.flatMap((p) => unmet(p, options)));
  const signal = options.signal ?? new AbortController().signal;
  const reports: PassReport[] = [];
  let current = model;
  for (const pass of steps) {
    signal.throwIfAborted();
    const made = await step(pass, current, options, signal);
    reports.push(made.report);
    current = made.model;
  }
  return { model: current, report: { passes: reports, toString: () => reports.map(formatReport).join("\n") } };
}

const flatten = (passes: readonly Pass[]): Pass[] => passes.flatMap((p) => (p.steps ? flatten(p.steps) : [p]));

function unmet({ name: pass, apiVersion, needs }: Pass, host: Host): Diagnostic[] {
  const location = { pass };
  if (apiVersion !== PASS_API_VERSION)
    return [
      problem(
        "core/api-version",
        `it is written for version ${apiVersion} of the pass contract, not ${PASS_API_VERSION}`,
        {
          hint: `Update ${apiVersion > PASS_API_VERSION ? "@pare/core" : pass}.`,
          location,
        },
      ),
    ];
  return needs
    .filter((need) => host[need] === undefined)
    .map((need) => problem("core/needs", `the pass needs ${need}`, { hint: `Give run() { ${need} }.`, location }));
}

async function step(pass: Pass, model: Model, options: RunOptions, signal: AbortSignal) {
  const { name, options: passOptions } = pass;
  const { signal: _, onProgress, gather, onFailure, ...host } = options;
  const done: CoverageEntry[] = [];
  const skipped: CoverageEntry[] = [];
  const diagnostics: Diagnostic[] = [];
  const started = performance.now();
  try {
    const wishes = pass.observe?.(model, host) ?? [];
    const result = await pass.run(model, {
      ...host,
      host: host as Required<Host>,
      signal,
      statistics: (wishes.length > 0 && (await gather?.(model, wishes, host, signal))) || new Map(),
      progress: (n, total, unit = "nodes") =>
        onProgress?.({ task: name, done: n, unit, ...(total !== undefined && { total }) }),
      done: (site, facts) => void done.push({ ...entry(site), ...(facts && { facts }) }),
      skip: (site, reason) => void skipped.push({ ...entry(site), reason }),
      diagnose: (d) => void diagnostics.push(within(d, name)),
    });
    signal.throwIfAborted();
    const changed = result !== model;
    if (changed) ensure(verify(result));
    const milliseconds = performance.now() - started;
    const report: PassReport = { pass: name, options: passOptions, milliseconds, changed, done, skipped, diagnostics };
    return { model: result, report };
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    await onFailure?.({ model, pass: name, options: passOptions, error });
    throw stamp(error, name);
  }
}

function stamp(error: unknown, pass: string): PareError {
  const found = isPareError(error)
    ? error.diagnostics
    : [problem("core/pass-failed", String(error), { hint: "This is a defect of the pass." })];
  return new PareError(
    found.map((d) => within(d, pass)),
    { cause: error },
  );
}

const within = (d: Diagnostic, pass: string): Diagnostic => ({ ...d, location: { ...d.location, pass } });

function entry(site: Site): Pick<CoverageEntry, "name" | "ops"> {
  const [name, ops] =
    "tensor" in site ? [site.name, site.uses.map((u) => u.node.op)] : [labelOf(site.node), [site.node.op]];
  return { name: site.view.path ? `${site.view.path}/${name}` : name, ops: [...new Set(ops)] };
}

/** `int8: 23 of 25 done`, then a line for each reason to leave something alone, and the diagnostics. */
function formatReport({ pass, done, skipped, changed, diagnostics }: PassReport): string {
  const total = done.length + skipped.length;
  const reasons = new Map<string, string[]>();
  for (const { name, reason = "" } of skipped) push(reasons, reason, name);
  return [
    `${pass}: ${total > 0 ? `${done.length} of ${total} done` : changed ? "changed the model" : "nothing to do"}`,
    ...Array.from(reasons, ([reason, names]) => {
      const more = names.length - 3;
      return `left alone: ${names.slice(0, 3).join(", ")}${more > 0 ? ` and ${more} more` : ""}: ${reason}`;
    }),
    ...diagnostics.map(formatDiagnostic),
  ].join("\n  ");
}
