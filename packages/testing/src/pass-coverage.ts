import {
  type GraphView,
  labelOf,
  type Model,
  type Pass,
  type RunOptions,
  run,
  type Site,
  viewOf,
  type Weight,
  weightsOf,
} from "@pare/core";
import { contentOf } from "./content.ts";
import { expectThat } from "./law.ts";
import { singleWeightModel } from "./models.ts";

/** That a pass reports each site that it changed as done, and no other. */
export async function accounts(pass: Pass, host: Omit<RunOptions, "signal">, m: Model, label: string): Promise<void> {
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
