import { type Diagnostic, ensure, formatDiagnostic, isPareError, PareError, problem } from "./diagnostic.ts";
import { labelOf, type Model } from "./model.ts";
import {
  type Facts,
  type Host,
  type Observation,
  PASS_API_VERSION,
  type Pass,
  type Progress,
  type Site,
  type Statistics,
} from "./pass.ts";
import { push } from "./recall.ts";
import { verify } from "./verify.ts";

/** One line of a coverage: what it is about, and numbers or the reason. */
export interface CoverageEntry {
  /** Name of the value or node, after the path of its graph. */
  readonly name: string;
  /** Operators that read the weight, or the node's own. */
  readonly ops: readonly string[];
  readonly reason?: string;
  readonly facts?: Facts | undefined;
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
  const { signal = new AbortController().signal, onProgress, gather, onFailure, ...host } = options;
  const steps = flatten([passes].flat());
  ensure(steps.flatMap((pass) => unmet(pass, host)));
  const reports: PassReport[] = [];
  let current = model;
  for (const pass of steps) {
    signal.throwIfAborted();
    const { name, options } = pass;
    const within = (d: Diagnostic) => ({ ...d, location: { ...d.location, pass: name } });
    const done: CoverageEntry[] = [];
    const skipped: CoverageEntry[] = [];
    const diagnostics: Diagnostic[] = [];
    const started = performance.now();
    try {
      const wishes = pass.observe?.(current, host) ?? [];
      const result = await pass.run(current, {
        ...host,
        host: host as Required<Host>,
        signal,
        statistics: (wishes.length > 0 && (await gather?.(current, wishes, host, signal))) || new Map(),
        progress: (done, total, unit = "nodes") =>
          onProgress?.({ task: name, done, unit, ...(total !== undefined && { total }) }),
        done: (site, facts) => void done.push({ ...entry(site), facts }),
        skip: (site, reason) => void skipped.push({ ...entry(site), reason }),
        diagnose: (d) => void diagnostics.push(within(d)),
      });
      signal.throwIfAborted();
      const changed = result !== current;
      if (changed) ensure(verify(result));
      const milliseconds = performance.now() - started;
      reports.push({ pass: name, options, milliseconds, changed, done, skipped, diagnostics });
      current = result;
    } catch (error) {
      signal.throwIfAborted();
      await onFailure?.({ model: current, pass: name, options, error });
      const hint = "This is a defect of the pass.";
      const found = isPareError(error) ? error.diagnostics : [problem("core/pass-failed", String(error), { hint })];
      throw new PareError(found.map(within), { cause: error });
    }
  }
  return { model: current, report: { passes: reports, toString: () => reports.map(formatReport).join("\n") } };
}

const flatten = (passes: readonly Pass[]): Pass[] => passes.flatMap((p) => (p.steps ? flatten(p.steps) : [p]));

function unmet({ name: pass, apiVersion, needs }: Pass, host: Host): Diagnostic[] {
  const location = { pass };
  if (apiVersion !== PASS_API_VERSION)
    return [problem("core/api-version", `the pass needs version ${apiVersion} of the core`, { location })];
  return needs
    .filter((need) => !host[need])
    .map((need) => problem("core/needs", `the pass needs ${need}`, { hint: `Give run() { ${need} }.`, location }));
}

function entry(site: Site): Pick<CoverageEntry, "name" | "ops"> {
  const isWeight = "tensor" in site;
  const name = isWeight ? site.name : labelOf(site.node);
  const readers = isWeight ? site.uses : [site];
  const { path } = site.view;
  return { name: path ? `${path}/${name}` : name, ops: [...new Set(readers.map(({ node }) => node.op))] };
}

/** `int8: 23 of 25 done`, then a line for each reason to leave something alone, and the diagnostics. */
function formatReport({ pass, done, skipped, changed, diagnostics }: PassReport): string {
  const total = done.length + skipped.length;
  const reasons = new Map<string, string[]>();
  for (const { name, reason = "" } of skipped) push(reasons, reason, name);
  return [
    `${pass}: ${total > 0 ? `${done.length} of ${total} done` : changed ? "changed the model" : "nothing to do"}`,
    ...Array.from(reasons, ([reason, names]) => {
      const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
      return `left alone: ${names.slice(0, 3).join(", ")}${more}: ${reason}`;
    }),
    ...diagnostics.map(formatDiagnostic),
  ].join("\n  ");
}
