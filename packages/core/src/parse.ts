/** Reads the text that `print` writes. For tests: graphs in a few readable lines. */
import { failure } from "./diagnostic.ts";
import { type DType, dtypeBits, elementCount } from "./dtype.ts";
import {
  type Attribute,
  type AttributeKind,
  type Dim,
  type FunctionDef,
  type Graph,
  graph,
  IR_OPSET,
  type Model,
  model,
  type Node,
  node,
  type ValueInfo,
  type ValueType,
} from "./model.ts";
import { stringTensor } from "./strings.ts";
import { type Tensor, tensor } from "./tensor.ts";

export interface ParseOptions {
  /** Tensors for weights whose text is `…`, by name. */
  readonly weights?: Readonly<Record<string, Tensor>>;
}

const TOKEN =
  /\s*(?:(#[^\n]*)|("(?:[^"\\]|\\.)*")|(=>|[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|Infinity|NaN)(?![\w./])|[\w./]+(?:::[\w./]+)*|…|[-<>(){}[\],:=@?*+]))/y;

/**
 * Parses a model. Beside what `print` writes, a weight may be `random(seed)`: uniform in [-1, 1).
 * @throws PareError `core/parse` with the line
 * @example parse(`main (x: float32[N,4]) => (y) { w: float32[4,2] = random(1)  y = MatMul(x, w) }`)
 */
export function parse(text: string, { weights = {} }: ParseOptions = {}): Model {
  let at = 0;
  let peeked: string | undefined;
  let comment: string | undefined;

  const fail = (message: string): never => {
    throw failure("core/parse", message, { location: { file: `line ${text.slice(0, at).split("\n").length}` } });
  };
  const scan = (): string => {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match)
      return /\S/.test(text.slice(at)) ? fail(`cannot read ${JSON.stringify(text.slice(at, at + 20).trim())}`) : "";
    at = TOKEN.lastIndex;
    if (match[1] === undefined) return (match[2] ?? match[3])!;
    comment = match[1].slice(1).trim();
    return scan();
  };
  const peek = () => (peeked ??= scan());
  const next = () => {
    const token = peek();
    peeked = undefined;
    return token;
  };
  const accept = (token: string) => peek() === token && (next(), true);
  const expect = (token: string) => accept(token) || fail(`expected ${token}, found ${peek() || "the end"}`);
  const unquote = (token: string) => (token.startsWith('"') ? (JSON.parse(token) as string) : token);
  const name = () => {
    const token = next();
    return /^[\w./"-]/.test(token) ? unquote(token) : fail(`expected a name, found ${token || "the end"}`);
  };
  const listOf = <T>(open: string, close: string, item: () => T): T[] => {
    expect(open);
    const items: T[] = [];
    while (!accept(close)) {
      items.push(item());
      if (peek() !== close) expect(",");
    }
    return items;
  };
  const number = (): number => {
    const token = next();
    const v = Number(token);
    return token === "NaN" || !Number.isNaN(v) ? v : fail(`expected a number, found ${token}`);
  };

  const dimension = (): Dim => {
    let text = "";
    while (peek() !== "," && peek() !== "]") text += next();
    return text === "?" ? null : /^\d+$/.test(text) ? Number(text) : unquote(text);
  };
  const shape = () => listOf("[", "]", dimension);
  const dtype = (token: string): DType =>
    token in dtypeBits ? (token as DType) : fail(`${token} is not an element type`);
  const typeFrom = (token: string): ValueType => {
    if (token === "sequence" || token === "optional") {
      const [element] = listOf("(", ")", optionalType);
      return { kind: token, ...(element ? { element } : {}) };
    }
    if (token === "map") {
      expect("(");
      const key = dtype(next());
      expect(",");
      const inner = optionalType();
      expect(")");
      return { kind: "map", key, ...(inner ? { value: inner } : {}) };
    }
    if (token === "sparse") {
      const [inner] = listOf("(", ")", () => typeFrom(next()));
      return { ...(inner as ValueType & { kind: "tensor" }), kind: "sparse" };
    }
    if (token === "opaque") {
      const [full = ""] = listOf("(", ")", name);
      const dot = full.lastIndexOf(".");
      return { kind: "opaque", domain: full.slice(0, Math.max(0, dot)), name: full.slice(dot + 1) };
    }
    return { kind: "tensor", dtype: dtype(token), ...(peek() === "[" ? { shape: shape() } : {}) };
  };
  const optionalType = () => (accept("?") ? undefined : typeFrom(next()));
  const info = (): ValueInfo => {
    const n = name();
    return accept(":") ? { name: n, type: typeFrom(next()) } : { name: n };
  };

  const contents = (of: DType, dims: readonly number[], called?: string): Tensor => {
    if (accept("…"))
      return (called !== undefined && weights[called]) || fail(`give the tensor ${called ?? ""} in weights`);
    if (accept("random")) {
      const [seed = 0] = listOf("(", ")", number);
      return randomTensor(of, dims, seed);
    }
    if (of === "string") return stringTensor(dims, listOf("{", "}", name));
    const wide = /64$/.test(of) && !/float/.test(of);
    return wide
      ? tensor(
          of,
          dims,
          listOf("{", "}", () => BigInt(next())),
        )
      : tensor(of, dims, listOf("{", "}", number));
  };
  const typedTensor = (token: string): Tensor => contents(dtype(token), shape().map(Number));

  /** Whether the bracket that opens here is that of a graph's inputs: "=>" comes after it. */
  const arrowFollows = () => {
    const saved = { at, peeked, comment };
    let depth = 0;
    do {
      const token = next();
      if (token === "") break;
      depth += token === "(" ? 1 : token === ")" ? -1 : 0;
    } while (depth > 0);
    const found = peek() === "=>";
    ({ at, peeked, comment } = saved);
    return found;
  };
  const attributeValue = (): Attribute => {
    if (accept("@")) return { type: "ref", of: next() as AttributeKind, name: name() };
    if (peek() === "[") {
      const items = listOf("[", "]", attributeValue);
      const type = items[0]?.type ?? "int";
      return { type: `${type}s`, value: items.map((i) => (i as { value: unknown }).value) } as Attribute;
    }
    const token = next();
    const isType = /^(sequence|optional|map|sparse|opaque)$/.test(token);
    if (peek() === "(" && !(isType && !arrowFollows())) return { type: "graph", value: graphBody(unquote(token)) };
    if (token === "bytes") return { type: "string", value: Uint8Array.from(listOf("[", "]", number)) };
    if (token.startsWith('"')) return { type: "string", value: unquote(token) };
    if (/^[-+]?\d+$/.test(token)) {
      const v = BigInt(token);
      return { type: "int", value: BigInt(Number(v)) === v && Number.isSafeInteger(Number(v)) ? Number(v) : v };
    }
    if (/^[-+]?(\d|Infinity|NaN)/.test(token)) return { type: "float", value: Number(token) };
    if (/^(float|string|tensor|graph|sparse|type)s$/.test(token) && peek() === "[") {
      listOf("[", "]", name);
      return { type: token, value: [] } as unknown as Attribute;
    }
    if (token in dtypeBits && peek() === "[") return { type: "tensor", value: typedTensor(token) };
    if (isType) return { type: "type", value: typeFrom(token) };
    return fail(`expected an attribute's value, found ${token || "the end"}`);
  };

  const statement = (nodes: Node[], initial: Map<string, Tensor>) => {
    const first = name();
    if (accept(":")) {
      const of = dtype(next());
      const dims = shape().map(Number);
      expect("=");
      initial.set(first, contents(of, dims, first));
      return;
    }
    const outputs = [first];
    while (accept(",")) outputs.push(name());
    expect("=");
    const op = name();
    const attributes = peek() === "<" ? listOf("<", ">", () => [name(), (expect("="), attributeValue())] as const) : [];
    const inputs = listOf("(", ")", name);
    comment = undefined;
    peek();
    const dot = op.lastIndexOf(".");
    const domain = op.slice(0, Math.max(0, dot));
    nodes.push(node(op.slice(dot + 1), inputs, outputs, new Map(attributes), { domain, name: comment ?? "" }));
  };
  const graphBody = (called: string): Graph => {
    const inputs = listOf("(", ")", info);
    expect("=>");
    const outputs = listOf("(", ")", info);
    const nodes: Node[] = [];
    const initial = new Map<string, Tensor>();
    expect("{");
    while (!accept("}")) statement(nodes, initial);
    return graph({ name: called, inputs, outputs, nodes, weights: initial });
  };
  const versions = () => new Map(listOf("<", ">", () => [name(), (expect(":"), number())] as const));

  const opsets = peek() === "<" ? versions() : new Map([["", IR_OPSET]]);
  const main = graphBody(name());
  const functions: FunctionDef[] = [];
  while (accept("function")) {
    const full = name();
    const dot = full.lastIndexOf(".");
    const overload = accept(":") ? name() : "";
    const inner = peek() === "<" ? versions() : opsets;
    const body = graphBody(name());
    functions.push({
      domain: full.slice(0, Math.max(0, dot)),
      name: full.slice(dot + 1),
      overload,
      attributes: [],
      defaults: new Map(),
      opsets: inner,
      body,
    });
  }
  if (peek() !== "") fail(`expected the end, found ${peek()}`);
  return model(main, { opsets, functions });
}

/** A tensor of pseudo-random numbers from a seed: floats in [-1, 1), integers of all their bits. Mulberry32. */
export function randomTensor(dtype: DType, shape: readonly number[], seed: number): Tensor {
  let state = Math.trunc(seed) | 0;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const count = elementCount(shape);
  const numbers = Array.from({ length: count }, random);
  if (dtype === "float32" || dtype === "float64")
    return tensor(
      dtype,
      shape,
      numbers.map((v) => 2 * v - 1),
    );
  return tensor(
    dtype,
    shape,
    numbers.map((v) => Math.floor(v * 2 ** Math.min(31, dtypeBits[dtype] - 1))),
  );
}
