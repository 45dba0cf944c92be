import { type Diagnostic, edit, IR_OPSET, isPareError, type Model, type Node, PareError } from "@pare/core";
import { inferTypes, type Types } from "@pare/ops/infer";
import { builderOf, lowerings, nodeContext, type Scope } from "@pare/ops/lower";
import { checkNode, LOWEST_OPSET, lowestVersion } from "@pare/ops/schema";
import { fail } from "./codes.ts";
import { knowledge } from "./reword.ts";
import { unrollSequenceMaps } from "./sequence-map.ts";
import { upgrade } from "./upgrade.ts";
import { widen } from "./widen.ts";

/**
 * The model in the words of an older opset: operators that are newer become the bodies that ONNX gives them, changes of
 * operators are taken back, element types that came later are widened where arithmetic allows it. Weights stay where they
 * are. The functions of the model come along. Passes work on the IR's opset: downgrade last, or let `writeOnnx` do it.
 * @throws PareError with an `onnx/opset-too-low` for each node that the opset has no words for, `onnx/opset` for one that is
 *   not known
 * @example await writeOnnx(downgrade(model, 17), "model.onnx"); // the same as writeOnnx(model, "model.onnx", { opset: 17 })
 */
export function downgrade(model: Model, opset: number): Model {
  if (!Number.isInteger(opset) || opset < LOWEST_OPSET || opset > IR_OPSET)
    throw fail("onnx/opset", `there is no opset ${opset} to write`, {
      hint: `Give one from ${LOWEST_OPSET} to ${IR_OPSET}.`,
    });
  const current = upgrade(model);
  const whole = opset < 17 ? unrollSequenceMaps(current, opset) : current;
  return takenBack(whole, opset, inferTypes(whole));
}

/** A model of the IR's opset and its types at another opset; only nodes of `newer` are looked at, where that is known. */
export function takenBack(whole: Model, opset: number, types: Types, newer?: ReadonlySet<Node>): Model {
  const knowledgeOf = knowledge(whole, types);
  const at = (opsets: ReadonlyMap<string, number>) => (opsets.has("") ? new Map([...opsets, ["", opset]]) : opsets);
  return edit(whole, (e) => {
    const problems: Diagnostic[] = [];
    for (const view of e.view.graphs) {
      const known = knowledgeOf(view);
      const shared = new Map<string, string>();
      for (const n of view.graph.nodes) {
        if (newer?.has(n) === false) continue;
        const lowest = lowestVersion(n, known.typeOf, IR_OPSET, known.possible);
        if (lowest <= opset) continue;
        const before: Node[] = [];
        const context = nodeContext(e, view, n, before, { shared });
        try {
          const after = lower(n, IR_OPSET, {
            ...context,
            ...known,
            target: opset,
            made: new Map(),
            refuse(why, of = n) {
              throw fail("onnx/opset-too-low", `opset ${opset} has no words for this ${of.op}: ${why}`, {
                location: context.location,
                hint: `Write opset ${lowest} or a newer one.`,
              });
            },
          });
          e.replace(n, [...before, ...after]);
        } catch (error) {
          if (!isPareError(error)) throw error;
          problems.push(...error.diagnostics);
        }
      }
    }
    if (problems.length > 0) throw new PareError(problems);
    e.setModel({ opsets: at(whole.opsets), functions: whole.functions.map((f) => ({ ...f, opsets: at(f.opsets) })) });
  });
}

/** The nodes that say at the target what `n` says at version `from`: one version after the other is taken back. */
function lower(n: Node, from: number, scope: Scope): readonly Node[] {
  const b = builderOf(n, scope);
  const lowest = n.domain === "" ? lowestVersion(n, b.typeOf, from, scope.possible) : 0;
  if (lowest > scope.target) {
    const lowering = lowerings.get(n.op)?.get(lowest);
    if (lowering) lowering(b);
    else widen(b, lowest - 1);
    return b.nodes.flatMap((m) => lower(m, lowest - 1, scope));
  }
  // What a lowering made may have types that came later.
  if (checkNode(n, scope.target, b.typeOf).length === 0) return [n];
  widen(b, scope.target);
  for (const m of b.nodes) for (const problem of checkNode(m, scope.target, b.typeOf)) b.refuse(problem.message);
  return b.nodes;
}
