import { type Diagnostic, type Model, PareError, type PassReport, type Report, viewOf, weightsOf } from "@pare/core";
import { namePattern } from "@pare/ops/weights";

/** What one pass did of what it found in its scope. */
export interface Coverage {
  readonly pass: string;
  readonly done: number;
  readonly total: number;
  /** `done / total`; 1 when there was nothing to do. */
  readonly share: number;
  /** Least share that was asked for. */
  readonly required: number;
}

/**
 * What each pass covered, against what was asked. A pass whose options name operators or weights (`ops`, `include`) must
 * cover all that it finds there; one without is asked for no share. `minCoverage` replaces both.
 */
export const coverageOf = (report: Report, minCoverage?: number): Coverage[] =>
  report.passes.map((p) => {
    const total = p.done.length + p.skipped.length;
    return {
      pass: p.pass,
      done: p.done.length,
      total,
      share: total === 0 ? 1 : p.done.length / total,
      required: minCoverage ?? (scopeOf(p) ? 1 : 0),
    };
  });

interface Scope {
  readonly ops?: readonly string[];
  readonly include?: readonly string[];
}

const scopeOf = ({ options }: PassReport): Scope | undefined => {
  const { ops, include } = (options ?? {}) as Scope;
  return ops || include ? { ...(ops ? { ops } : {}), ...(include ? { include } : {}) } : undefined;
};

/**
 * Everything by which the passes did less than was asked: a share below the required one, an operator or a pattern that
 * matches nothing, a pass that was given weights and covered none, a run that changed nothing and does not convert either.
 */
export function coverageProblems(report: Report, model: Model, minCoverage?: number, converts = false): Diagnostic[] {
  const problems: Diagnostic[] = [];
  const problem = (message: string, hint: string, pass?: string) =>
    problems.push({
      code: "pare/coverage",
      severity: "error",
      message,
      hint,
      ...(pass === undefined ? {} : { location: { pass } }),
    });
  for (const [i, c] of coverageOf(report, minCoverage).entries()) {
    const p = report.passes[i]!;
    const reasons = [...new Set(p.skipped.map((s) => s.reason))].slice(0, 3).join("; ");
    if (c.total > 0 && c.done === 0)
      problem(
        `none of ${c.total} weights or nodes was covered: ${reasons}`,
        "Leave the pass out, or change its scope.",
        c.pass,
      );
    else if (c.share < c.required)
      problem(
        `${c.done} of ${c.total} were covered, ${Math.ceil(c.required * c.total)} were asked for; left alone: ${reasons}`,
        `Narrow the scope, or accept less with a lower minimum (--min-coverage ${Math.floor(c.share * 100) / 100}).`,
        c.pass,
      );
    for (const [what, name] of unmatched(scopeOf(p) ?? {}, model))
      problem(`the model has no ${what} ${JSON.stringify(name)}`, "See `pare inspect` for the names it has.", c.pass);
  }
  if (!converts && problems.length === 0 && report.passes.every((p) => p.done.length === 0 && !p.changed))
    problem(
      "nothing was changed: no pass found anything to do",
      "See what each pass left alone, and why, in the report.",
    );
  return problems;
}

function unmatched({ ops = [], include = [] }: Scope, model: Model): (readonly [string, string])[] {
  const view = viewOf(model);
  const has = new Set(view.graphs.flatMap((g) => g.graph.nodes.map((n) => n.op)));
  const names = (pattern: string) => {
    const matches = namePattern([pattern]);
    for (const _ of weightsOf(view, { names: matches })) return true;
    return view.graphs.some((g) => g.graph.nodes.some((n) => matches(n.name) || n.outputs.some(matches)));
  };
  return [
    ...ops.filter((op) => !has.has(op)).map((op) => ["operator", op] as const),
    ...include.filter((pattern) => !names(pattern)).map((pattern) => ["weight that matches", pattern] as const),
  ];
}

/** @throws PareError `pare/coverage` with all of {@link coverageProblems} */
export function checkCoverage(report: Report, model: Model, minCoverage?: number, converts = false): void {
  const problems = coverageProblems(report, model, minCoverage, converts);
  if (problems.length > 0) throw new PareError(problems);
}
