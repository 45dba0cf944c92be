import { type Node, operatorOf } from "./model.ts";
import type { Tensor } from "./tensor.ts";
import { constantNodeValue, type GraphView, type ModelView, type Use } from "./view.ts";

/** A constant of the model, wherever it stands: a graph's weight or a `Constant` node, in any graph. */
export interface Weight {
  readonly view: GraphView;
  /** The name of its value. */
  readonly name: string;
  readonly tensor: Tensor;
  /** The `Constant` node that holds it, if one does. */
  readonly node?: Node | undefined;
  readonly uses: readonly Use[];
}

export interface WeightSelection {
  /** Operators (of the standard domain, or `domain.op`) that read it; with a map, at which inputs. Default: any. */
  readonly ops?: readonly string[] | ReadonlyMap<string, readonly number[]>;
  /** Which names; default all. */
  readonly names?: (name: string) => boolean;
}

/** The constants of a model that match, in the order of graphs and nodes. */
export function* weightsOf(view: ModelView, { ops, names }: WeightSelection = {}): Iterable<Weight> {
  const wanted = ({ node, index }: Use) =>
    ops instanceof Map
      ? ops.get(operatorOf(node))?.includes(index)
      : (ops as readonly string[]).includes(operatorOf(node));
  for (const v of view.graphs) {
    const held: [string, Tensor, Node?][] = [...v.graph.weights];
    for (const n of v.graph.nodes) {
      const value = constantNodeValue(n);
      if (value && n.outputs[0]) held.push([n.outputs[0], value, n]);
    }
    for (const [name, tensor, node] of held) {
      if (names && !names(name)) continue;
      const uses = v.uses(name);
      if (!ops || uses.some(wanted)) yield { view: v, name, tensor, uses, node };
    }
  }
}
