import {
  attr,
  edit,
  type GraphView,
  inOrder,
  type Model,
  type Node,
  node,
  operatorOf,
  type QuantizationScheme,
  renameReads,
  tensor,
  value,
  viewOf,
} from "@pare/core";
import { codeOf } from "@pare/ops/dtype-codes";

/** A layer that is in both models, and the values of the joint model that tell of it. */
export interface Probe {
  /** Output of the layer in the reference. */
  readonly layer: string;
  readonly op: string;
  /** Its output in the quantized model. */
  readonly other: string;
  /** What is wrong with its output when it alone is quantized, when only its weights are, and in the quantized model. */
  readonly alone: string;
  readonly byWeight: string;
  readonly accumulated: string;
  /** What it reads in codes, in the reference, and 1 where that lies outside the codes. */
  readonly reads?: string;
  readonly cut?: string;
}

/** Share of a step by which rounding moves a number at most. What is moved farther was cut. */
const ROUNDED = 0.51;

/**
 * A model that runs a reference and what it became side by side, and once more each layer with codes around it but what
 * the reference gives as its inputs: what is wrong is found inside the graph, and no large value needs to leave the engine.
 * The two must have the same inputs, and values of the same name mean the same.
 */
export function beside(
  reference: Model,
  quantized: Model,
  scheme: QuantizationScheme,
): { readonly model: Model; readonly probes: readonly Probe[] } {
  const { main: q } = viewOf(quantized);
  const probes: Probe[] = [];
  const model = edit(reference, (e) => {
    const { main } = e.view;
    const inputs = new Set(q.graph.inputs.map((v) => v.name));
    const names = new Map<string, string>();
    const other = (v: string): string => {
      if (v === "" || inputs.has(v)) return v;
      const known = names.get(v);
      if (known !== undefined) return known;
      const made = e.fresh(`${v}_other`);
      names.set(v, made);
      return made;
    };
    for (const [name, t] of q.graph.weights) if (!inputs.has(name)) e.addWeight(main, other(name), t);
    e.insert(
      main,
      q.graph.nodes.map((n) => ({ ...renameReads(n, other), name: "", outputs: n.outputs.map(other) })),
    );
    const rounded = e.addWeight(main, e.fresh("rounded"), tensor("float32", [], [ROUNDED]));
    const made = (op: string, from: readonly string[], name: string, attributes: Node["attributes"] = new Map()) => {
      const output = e.fresh(name);
      e.insert(main, [{ ...node(op, from, [output]), attributes }]);
      return output;
    };
    const coded = new Map<string, string>();
    const isFixed = fixedIn(q);
    for (const n of main.graph.nodes) {
      if (scheme.operators.get(operatorOf(n))?.role !== "compute") continue;
      const [layer] = n.outputs as [string];
      const twin = twinOf(q, n);
      if (!twin || twin.inputs.every((v) => q.producer(v)?.op !== "DequantizeLinear")) continue;
      let reads: { value: string; decoded: string; scale: string } | undefined;
      const inputsOf = (decode: boolean) =>
        twin.inputs.map((v, i) => {
          if (v === "" || isFixed(v)) return other(v);
          const from = n.inputs[i]!;
          const pair = codesOf(q, v);
          if (!pair || !decode) return from;
          const key = `${from} ${pair[0].inputs[1]}`;
          let decoded = coded.get(key);
          if (decoded === undefined) {
            const [scale, zero] = pair[0].inputs.slice(1).map(other);
            const parameters = [scale!, ...(zero === undefined ? [] : [zero])];
            const codes = made("QuantizeLinear", [from, ...parameters], `${from}_codes`, pair[0].attributes);
            decoded = made("DequantizeLinear", [codes, ...parameters], `${from}_decoded`, pair[1].attributes);
            coded.set(key, decoded);
          }
          reads ??= { value: from, decoded, scale: other(pair[0].inputs[1]!) };
          return decoded;
        });
      const copy = (decode: boolean, name: string) => {
        const output = e.fresh(`${layer}_${name}`);
        e.insert(main, [{ ...twin, name: output, inputs: inputsOf(decode), outputs: [output] }]);
        return made("Sub", [output, layer], `${output}_error`);
      };
      const alone = copy(true, "alone");
      const apart = other(twin.outputs[0]!);
      probes.push({
        layer,
        op: n.op,
        other: apart,
        alone,
        byWeight: copy(false, "by_weight"),
        accumulated: made("Sub", [apart, layer], `${layer}_accumulated`),
        ...(reads ? { reads: reads.value, cut: cutOf(reads, rounded, made) } : {}),
      });
    }
    e.setModel({ opsets: new Map([...quantized.opsets, ...reference.opsets]) });
    e.setGraph(main, { outputs: probes.map((p) => value(p.accumulated, "float32")) });
  });
  return { model, probes };
}

function cutOf(
  { value, decoded, scale }: { readonly value: string; readonly decoded: string; readonly scale: string },
  rounded: string,
  made: (op: string, from: readonly string[], name: string, attributes?: Node["attributes"]) => string,
): string {
  const moved = made("Abs", [made("Sub", [decoded, value], `${value}_moved`)], `${value}_distance`);
  const far = made("Greater", [moved, made("Mul", [scale, rounded], `${value}_limit`)], `${value}_is_cut`);
  return made("Cast", [far], `${value}_cut`, new Map([["to", attr.int(codeOf("float32"))]]));
}

/** The node of another graph that computes what a node computes, whose output may be given in codes and decoded. */
function twinOf(view: GraphView, n: Node): Node | undefined {
  const maker = view.producer(n.outputs[0]!);
  const codes = maker?.op === "DequantizeLinear" ? view.producer(maker.inputs[0]!) : undefined;
  const twin = codes?.op === "QuantizeLinear" ? view.producer(codes.inputs[0]!) : maker;
  return twin && operatorOf(twin) === operatorOf(n) ? twin : undefined;
}

/** The nodes that make a value into codes and back. */
function codesOf(view: GraphView, v: string): readonly [Node, Node] | undefined {
  const decode = view.producer(v);
  const encode = decode?.op === "DequantizeLinear" ? view.producer(decode.inputs[0]!) : undefined;
  return encode?.op === "QuantizeLinear" ? [encode, decode!] : undefined;
}

/** Whether a value depends on constants only. */
function fixedIn(view: GraphView): (v: string) => boolean {
  const fixed = new Set<string>(view.graph.weights.keys());
  for (const input of view.graph.inputs) fixed.delete(input.name);
  for (const n of inOrder(view.graph.nodes))
    if (view.constant(n.outputs[0] ?? "") || (n.inputs.length > 0 && n.inputs.every((v) => v === "" || fixed.has(v))))
      for (const o of n.outputs) fixed.add(o);
  return (v) => fixed.has(v);
}
