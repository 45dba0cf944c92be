import {
  attr,
  constantNodeValue,
  type Graph,
  graph,
  type Model,
  model,
  type Node,
  node,
  subgraphsOf,
  type Tensor,
  tensor,
  type ValueInfo,
  value,
} from "../src/index.ts";

/** Choices from a tape of numbers: the n-th of `count`, 0 when the tape is at its end. Shrinks well. */
export function chooser(tape: readonly number[]): (count: number) => number {
  let at = 0;
  return (count) => (tape[at++] ?? 0) % Math.max(1, count);
}

/** A well-formed model of 1 to `size` nodes a graph, with weights, constants, optional inputs and nested branches. */
export function randomModel(tape: readonly number[], size = 8): Model {
  const choose = chooser(tape);
  let names = 0;
  const name = (base: string) => `${base}${names++}`;
  const build = (visible: readonly string[], depth: number, inputs: readonly ValueInfo[]): Graph => {
    const known = [...visible, ...inputs.map((v) => v.name)];
    const weights = new Map<string, Tensor>();
    for (let i = choose(3); i > 0; i--) {
      const w = name("w");
      weights.set(w, tensor("float32", [2], [choose(4), choose(4)]));
      known.push(w);
    }
    const nodes: Node[] = [];
    const pick = () => known[known.length - 1 - choose(known.length)]!;
    const written: string[] = [];
    for (let count = 1 + choose(size); count > 0; count--) {
      const y = name("v");
      const kind = choose(depth > 0 ? 8 : 7);
      if (kind === 0) nodes.push(node("Relu", [pick()], [y]));
      else if (kind < 3) nodes.push(node("Identity", [pick()], [y], {}, { name: y }));
      else if (kind === 3)
        nodes.push(node("Constant", [], [y], { value: attr.tensor(tensor("int64", [1], [choose(5)])) }));
      else if (kind === 4) nodes.push(node("Clip", [pick(), "", pick()], [y]));
      else if (kind === 5) nodes.push(node("Split", [pick()], [y, "", name("v")], {}, { domain: "acme" }));
      else if (kind === 6) nodes.push(node("Add", [pick(), pick()], [y]));
      else {
        const branch = () => attr.graph(build(known, depth - 1, []));
        nodes.push(node("If", [pick()], [y], { then_branch: branch(), else_branch: branch() }));
      }
      for (const v of nodes.at(-1)!.outputs) if (v !== "") known.push(v), written.push(v);
    }
    const outputs = [...new Set([written.at(-1)!, ...(choose(2) ? [written[choose(written.length)]!] : [])])];
    const types = new Map(written.filter(() => choose(2)).map((v) => [v, value(v, "float32", [2])] as const));
    return graph({ name: "g", inputs, outputs: outputs.map((v) => ({ name: v })), nodes, weights, types });
  };
  const main = build([], 2, [value("x", "float32", ["N", 2]), value("c", "bool")]);
  return model(main, {
    opsets: new Map([
      ["", 27],
      ["acme", 1],
    ]),
  });
}

const terms = new Map<string, number>();

/** What the outputs are, as terms in which `Identity` and the names of values do not show. */
export function meaning(m: Model): readonly number[] {
  const term = (text: string) => {
    if (!terms.has(text)) terms.set(text, terms.size);
    return terms.get(text)!;
  };
  const constant = (t: Tensor) => term(`${t.dtype}[${t.shape}]${t.bytes}`);
  const evaluate = (g: Graph, around: ReadonlyMap<string, number>): number[] => {
    const scope = new Map(around);
    for (const v of g.inputs) scope.set(v.name, term(`input ${v.name}`));
    for (const [name, t] of g.weights) scope.set(name, constant(t));
    for (const n of g.nodes) {
      const inputs = n.inputs.map((v) => (v === "" ? "" : scope.get(v)!));
      if (inputs.includes(undefined as never)) throw new Error(`${n.op} reads what is not there`);
      const inner = [...subgraphsOf(n)].map((s) => `${s.attribute}:${evaluate(s.graph, scope)}`);
      const held = constantNodeValue(n);
      n.outputs.forEach((v, i) => {
        if (v === "") return;
        if (n.op === "Identity") scope.set(v, inputs[0] as number);
        else scope.set(v, held ? constant(held) : term(`${n.domain}.${n.op}(${inputs})${inner}#${i}`));
      });
    }
    return g.outputs.map((v) => scope.get(v.name)!);
  };
  return evaluate(m.graph, new Map());
}

/** All of a model as plain data, to see whether anything in it changed. */
export function snapshot(m: Model): string {
  return JSON.stringify(m, (_, v: unknown) => {
    if (v instanceof Map) return ["map", ...v];
    if (v instanceof Uint8Array) return ["bytes", ...v];
    if (typeof v === "bigint") return `${v}n`;
    return v;
  });
}

/** A copy that shares no graph and no node, so that nothing remembered of the model applies to it. */
export function copy(m: Model): Model {
  const copyGraph = (g: Graph): Graph => ({ ...g, nodes: g.nodes.map(copyNode) });
  const copyNode = (n: Node): Node => ({
    ...n,
    attributes: new Map(
      [...n.attributes].map(([k, a]) => [k, a.type === "graph" ? { ...a, value: copyGraph(a.value) } : a]),
    ),
  });
  return { ...m, graph: copyGraph(m.graph), functions: m.functions.map((f) => ({ ...f, body: copyGraph(f.body) })) };
}
