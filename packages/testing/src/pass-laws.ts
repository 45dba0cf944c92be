import {
  type ByteRange,
  type GraphView,
  isPareError,
  labelOf,
  type Model,
  type Pass,
  type RunOptions,
  run,
  type Site,
  type Tensor,
  verify,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { print } from "@pare/core/print";
import { contentOf } from "./content.ts";
import { expectThat, type Law, law, problemsOf, rejectionOf, within } from "./law.ts";
import { lawModels, singleWeightModel } from "./models.ts";
import { hugeTensor } from "./synthetic.ts";

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
/** No piece of work needs more of a weight at once. */
const LARGEST_READ = 16 * MIB;

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

async function abortWhileRunning(pass: Pass, host: Omit<RunOptions, "signal">, patience: number): Promise<void> {
  const reason = new Error("aborted while running");
  const controller = new AbortController();
  // A weight that takes minutes to read; whoever heeds the signal ends at once.
  const { tensor, reads } = hugeTensor(64 * MIB, { delay: 4 * patience, onRead: () => controller.abort(reason) });
  const m = singleWeightModel(tensor);
  const before = m.graph;
  const interrupting: Pass = {
    ...pass,
    run: (model, ctx) =>
      pass.run(model, {
        ...ctx,
        done(...args) {
          ctx.done(...args);
          controller.abort(reason);
        },
        skip(...args) {
          ctx.skip(...args);
          controller.abort(reason);
        },
        progress(...args) {
          ctx.progress(...args);
          controller.abort(reason);
        },
      }),
  };
  const outcome = await within(
    patience,
    "abort-ignored",
    `${pass.name} went on for more than ${patience} ms after it was aborted`,
    run(interrupting, m, { ...host, signal: controller.signal }).catch((error: unknown) => ({ error })),
  );
  if (controller.signal.aborted)
    expectThat(
      "error" in outcome && outcome.error === reason,
      "abort-reason",
      `${pass.name} did not reject with the signal's reason`,
      {
        cause: outcome,
      },
    );
  expectThat(
    m.graph === before && reads.calls <= 2,
    "abort-ignored",
    `${pass.name} went on reading after it was aborted`,
  );
}

async function abortWhileReading(pass: Pass, apply: (m: Model) => Promise<Model>, patience: number): Promise<void> {
  if (pass.reads) return;
  const reason = new Error("aborted while reading");
  const controller = new AbortController();
  const { tensor } = hugeTensor(16 * MIB, { delay: 4 * patience, onRead: () => controller.abort(reason) });
  for (const t of lazyWeights(await apply(singleWeightModel(tensor)))) {
    const error = await within(
      patience,
      "abort-ignored",
      `reading what ${pass.name} made went on for more than ${patience} ms after it was aborted`,
      rejectionOf(() => t.read(undefined, controller.signal), "abort-ignored", "an aborted read gave bytes"),
    );
    expectThat(error === reason, "abort-reason", `reading rejected with ${String(error)}, not the signal's reason`);
  }
}

const lazyWeights = (m: Model): Tensor[] => [...weightsOf(viewOf(m))].map((w) => w.tensor).filter((t) => !t.bytes);

async function readsNothing(apply: (m: Model) => Promise<Model>): Promise<void> {
  const { tensor, reads } = hugeTensor(MIB);
  await apply(singleWeightModel(tensor));
  expectThat(
    reads.bytes === 0,
    "early-read",
    `${reads.bytes} bytes of a large weight were read before anyone asked for the result`,
    {
      hint: 'Derive it with deriveTensor; or declare reads: "weights" if the method must look at it.',
    },
  );
}

async function readsInPieces(apply: (m: Model) => Promise<Model>): Promise<void> {
  const { tensor, reads } = hugeTensor(48 * MIB);
  await apply(singleWeightModel(tensor));
  expectThat(reads.largest <= LARGEST_READ, "large-read", `${reads.largest} bytes of a weight were read at once`, {
    hint: "Stream it with elementsOf or chunksOf.",
  });
}

async function staysSmall(
  pass: Pass,
  apply: (m: Model) => Promise<Model>,
  size: number,
  budget: number,
  prepares: boolean,
): Promise<void> {
  // Statistics take one reading of the whole; a pass that keeps them reads it no second time.
  const { tensor, reads } = hugeTensor(size, { budget: budget + (prepares ? size : 0) });
  const start = memory();
  let peak = 0;
  const look = () => (peak = Math.max(peak, memory() - start));
  for (const t of lazyWeights(await apply(singleWeightModel(tensor)))) {
    const length = Math.min(MIB, t.byteLength);
    const ranges: ByteRange[] = [
      { offset: 0, length },
      { offset: t.byteLength - length, length },
    ];
    for (const range of ranges) {
      try {
        await t.read(range);
      } catch (error) {
        const hint = "If a derived weight needs statistics of the whole tensor, say so: { prepares: true }.";
        expectThat(
          !(isPareError(error) && error.code === "testing/read-budget"),
          "read-budget",
          `${pass.name}: ${String(error)}`,
          { hint, cause: error },
        );
        throw error;
      }
      look();
    }
  }
  expectThat(
    reads.largest <= LARGEST_READ,
    "large-read",
    `${pass.name} read ${reads.largest} bytes of a weight at once`,
  );
  expectThat(
    peak <= 4 * budget,
    "memory",
    `memory grew by ${Math.round(peak / MIB)} MiB for the first and last MiB of a weight`,
  );
}

interface MemoryUsage {
  readonly process?: { memoryUsage?(): { heapUsed: number; arrayBuffers: number } };
}

/** Bytes in use, where the platform says. */
function memory(): number {
  const usage = (globalThis as MemoryUsage).process?.memoryUsage?.();
  return usage ? usage.heapUsed + usage.arrayBuffers : 0;
}

async function accounts(pass: Pass, host: Omit<RunOptions, "signal">, m: Model, label: string): Promise<void> {
  const done: Site[] = [];
  const skipped: [Site, string][] = [];
  const watching: Pass = {
    ...pass,
    run: (model, ctx) =>
      pass.run(model, {
        ...ctx,
        done(site, facts) {
          done.push(site);
          ctx.done(site, facts);
        },
        skip(site, reason) {
          skipped.push([site, reason]);
          ctx.skip(site, reason);
        },
      }),
  };
  const { model: made } = await run(watching, m, host);
  const at = (site: Site) => `${site.view.path}/${"tensor" in site ? site.name : labelOf(site.node)}`;
  const after = new Map(viewOf(made).graphs.map((v) => [v.path, v]));

  const both = skipped.find(([s]) => done.some((d) => at(d) === at(s)));
  expectThat(
    !both,
    "coverage",
    `${pass.name} reports ${both && at(both[0])} of ${label} both as done and as left alone`,
  );
  const silent = skipped.find(([, reason]) => reason.trim() === "");
  expectThat(!silent, "coverage", `${pass.name} left ${silent && at(silent[0])} alone and does not say why`);
  const unknown = [...done, ...skipped.map(([s]) => s)].find((s) => !viewOf(m).graphs.includes(s.view));
  expectThat(
    !unknown,
    "coverage",
    `${pass.name} reports ${unknown && at(unknown)}, which is not of the model ${label}`,
  );

  for (const site of done) {
    const now = after.get(site.view.path);
    const untouched =
      "tensor" in site ? now?.constant(site.name) === site.tensor : now?.graph.nodes.includes(site.node);
    expectThat(!untouched, "coverage", `${pass.name} reports ${at(site)} of ${label} as done and left it as it was`);
  }
  for (const [site] of skipped)
    if ("tensor" in site)
      expectThat(
        !(await changed(site, after.get(site.view.path))),
        "coverage",
        `${pass.name} reports ${at(site)} of ${label} as left alone and changed it`,
      );
  for (const w of weightsOf(viewOf(m))) {
    const covered = done.some((d) => at(d) === at(w) || (!("tensor" in d) && w.uses.some((u) => u.node === d.node)));
    if (!covered)
      expectThat(
        !(await changed(w, after.get(w.view.path))),
        "coverage",
        `${pass.name} changed ${at(w)} of ${label} and does not report it`,
      );
  }
}

/** Whether a weight's value is still there, with other contents. */
async function changed(w: Weight, now: GraphView | undefined): Promise<boolean> {
  if (now?.definer(w.name) !== now || !now) return false;
  const t = now.graph.weights.get(w.name) ?? now.constant(w.name);
  if (t === w.tensor) return false;
  if (!t || t.dtype !== w.tensor.dtype || `${t.shape}` !== `${w.tensor.shape}`) return true;
  return (await contentOf(singleWeightModel(t))) !== (await contentOf(singleWeightModel(w.tensor)));
}
