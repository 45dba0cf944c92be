import { type Model, type Pass, type RunOptions, run, verify, viewOf } from "@pare/core";
import { print } from "@pare/core/print";
import { contentOf } from "./content.ts";
import { expectThat, type Law, law, problemsOf, rejectionOf } from "./law.ts";
import { lawModels } from "./models.ts";
import { accounts } from "./pass-coverage.ts";
import { abortWhileReading, abortWhileRunning, readsInPieces, readsNothing, staysSmall } from "./pass-reading.ts";

export interface PassLawOptions {
  /** Options that the factory is called with. */
  readonly options?: unknown;
  /** Models to try, by name; default {@link lawModels}. Made anew for each law. */
  readonly models?: () => Readonly<Record<string, Model>>;
  /** What the pass needs besides the model. */
  readonly host?: Omit<RunOptions, "signal">;
  /** Whether a second application must change nothing. */
  readonly idempotent?: boolean;
  /** Whether the first byte of a derived weight needs statistics of the whole: it is then tried with 128 MiB. */
  readonly prepares?: boolean;
  /** Bytes of the largest weight that is tried. Default 8 GiB. */
  readonly hugeBytes?: number;
  /** Most bytes that may be read of it for the first and last MiB of the result. Default 64 MiB. */
  readonly readBudget?: number;
  /** Milliseconds in which an aborted pass must end. Default 1000. */
  readonly patience?: number;
  /** Laws that do not apply, by their name, each with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
}

const MIB = 2 ** 20;

/**
 * The laws of a pass. They are tried on models with branches, functions, unknown operators and weights that are lazy.
 * @example for (const law of passLaws(threshold, { options: { ratio: 0.1 } })) test(law.name, law.run)
 */
export function passLaws(subject: Pass | ((options?: never) => Pass), given: PassLawOptions = {}): Law[] {
  const { models = lawModels, host = {}, patience = 1000, readBudget = 64 * MIB, skip = {} } = given;
  const make = (options: unknown) => (typeof subject === "function" ? subject(options as never) : subject);
  const pass = make(given.options);
  const apply = async (m: Model, p: Pass = pass) => (await run(p, m, host)).model;
  const isFactory = typeof subject === "function";
  const onEach = (name: string, check: (m: Model, label: string) => Promise<void>, skipped?: string): Law =>
    law(
      `${pass.name}: ${name}`,
      async () => {
        for (const [label, m] of Object.entries(models())) await check(m, label);
      },
      skip[name] ?? skipped,
    );
  const once = (name: string, check: () => Promise<void>, skipped?: string): Law =>
    law(`${pass.name}: ${name}`, check, skip[name] ?? skipped);
  const noFactory = isFactory ? undefined : "it was given as a pass, not as the factory that makes it";

  return [
    onEach("leaves its input as it was", async (m, label) => {
      const before = await contentOf(m);
      await apply(m);
      expectThat(
        (await contentOf(m)) === before,
        "input-changed",
        `${pass.name} changed the model ${label} that it was given`,
        {
          hint: "Use edit or rewrite, and never write to the bytes of a tensor.",
        },
      );
    }),
    onEach("makes a well-formed model", async (m) => {
      const problems = verify(await apply(m));
      expectThat(problems.length === 0, "malformed", problems.map((p) => p.message).join("; "));
    }),
    onEach("returns the very model when it changes nothing", async (m, label) => {
      // A weight that is derived may turn out to have the bytes it had: who says that it did something is believed here.
      const { model: made, report } = await run(pass, m, host);
      const silent = report.passes.every((p) => p.done.length === 0);
      expectThat(
        made === m || !silent || (await contentOf(made)) !== (await contentOf(m)),
        "same-content",
        `${pass.name} made another object of the model ${label}, equal to it`,
      );
    }),
    onEach("makes the same of the same", async (m, label) => {
      const [a, b] = [await contentOf(await apply(m)), await contentOf(await apply(m))];
      expectThat(a === b, "not-deterministic", `${pass.name} made two different models of ${label}`);
    }),
    onEach(
      "changes nothing the second time",
      async (m, label) => {
        const made = await apply(m);
        expectThat((await apply(made)) === made, "not-idempotent", `${pass.name} changed the model ${label} twice`);
      },
      given.idempotent ? undefined : "it does not say that it is idempotent",
    ),
    onEach("ends at once when it was aborted before", async (m) => {
      const reason = new Error("aborted before");
      const error = await rejectionOf(
        () => run(pass, m, { ...host, signal: AbortSignal.abort(reason) }),
        "abort-ignored",
        `${pass.name} ran although it was aborted`,
      );
      expectThat(
        error === reason,
        "abort-reason",
        `${pass.name} rejected with ${String(error)}, not the signal's reason`,
      );
    }),
    once("ends soon when it is aborted while it runs", () => abortWhileRunning(pass, host, patience)),
    once("stops reading a derived weight when that is aborted", () => abortWhileReading(pass, apply, patience)),
    once("reads no large weight", () => readsNothing(apply), pass.reads && `it declares that it reads ${pass.reads}`),
    once(
      "reads large weights in pieces",
      () => readsInPieces(apply),
      pass.reads ? undefined : "it declares no reading of weights",
    ),
    once(
      "makes a weight that is larger than memory without holding it",
      () =>
        staysSmall(
          pass,
          apply,
          given.prepares ? 128 * MIB : (given.hugeBytes ?? 8192 * MIB),
          readBudget,
          given.prepares ?? false,
        ),
      pass.reads && `it declares that it reads ${pass.reads}`,
    ),
    onEach(
      "survives JSON",
      async (m, label) => {
        const copy = make(JSON.parse(JSON.stringify(pass.options)));
        expectThat(
          JSON.stringify(copy.options) === JSON.stringify(pass.options),
          "options-json",
          `options of ${pass.name} are not the same after JSON`,
        );
        const [a, b] = [await contentOf(await apply(m)), await contentOf(await apply(m, copy))];
        expectThat(a === b, "options-json", `${pass.name} made from its own options makes another model of ${label}`);
      },
      noFactory,
    ),
    once(
      "refuses options it does not know",
      async () => {
        const options = { ...(pass.options as object), "no such option": 1 };
        const problems = await problemsOf(
          () => make(options),
          "unknown-option",
          `${pass.name} took an option that it does not have`,
        );
        expectThat(problems.length > 0, "unknown-option", "the error has no diagnostic");
      },
      noFactory,
    ),
    onEach("leaves operators alone that it does not know", async (m, label) => {
      const [before, after] = [foreign(m), foreign(await apply(m))];
      expectThat(
        before.join("\n") === after.join("\n"),
        "unknown-operator",
        `${pass.name} changed operators of other domains in ${label}`,
      );
    }),
    onEach("keeps subgraphs and functions", async (m, label) => {
      const paths = (of: Model) => viewOf(of).graphs.map((v) => v.path);
      const kept = new Set(paths(await apply(m)));
      const lost = paths(m).filter((path) => !kept.has(path));
      expectThat(lost.length === 0, "lost-graph", `${pass.name} lost ${lost.join(", ")} of ${label}`);
    }),
    onEach("accounts for every candidate", (m, label) => accounts(pass, host, m, label)),
  ];
}

/** Nodes of other domains with their attributes, in all graphs. */
const foreign = (m: Model): string[] =>
  viewOf(m).graphs.flatMap((v) =>
    v.graph.nodes
      .filter((n) => n.domain !== "")
      .map(
        (n) =>
          `${v.path} ${n.domain}.${n.op} ${print({ ...m, functions: [], graph: { ...v.graph, weights: new Map(), nodes: [{ ...n, name: "", inputs: [], outputs: [] }] } })}`,
      ),
  );
