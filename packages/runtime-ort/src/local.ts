import { bytesOf, type DType, dtypeBits, failure, isPareError, storageView, tensor } from "@pare/core";
import { stringsOf, stringTensor } from "@pare/core/strings";
import type { Engine, EngineOptions, ModelLocation, RunRequest, WireInfo, WireTensor } from "./engine.ts";

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}
interface OrtMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}
interface OrtInferenceSession {
  readonly inputMetadata: readonly OrtMetadata[];
  readonly outputMetadata: readonly OrtMetadata[];
  run(feeds: object, fetches: object): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}
/** What is used of onnxruntime-node or onnxruntime-web (or another build of them) once it is imported. */
export interface OrtModule {
  readonly env: { readonly versions: object; readonly wasm?: object };
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => unknown;
  readonly InferenceSession: { create(model: never, options: object): Promise<unknown> };
}

/** A module that came by `import`, whichever way it exports. */
export const namespaceOf = (module: object): OrtModule =>
  ("InferenceSession" in module ? module : (module as { default: object }).default) as OrtModule;

/** Types that the JavaScript bindings carry. */
const carried: ReadonlySet<string> = new Set<DType>([
  ...(["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"] as const),
  ...(["uint64", "int4", "uint4", "bool", "string"] as const),
]);
export const isCarried = (dtype: string): boolean => carried.has(dtype);

/** An engine in this process. A run cannot be interrupted. */
export function localEngine(ort: OrtModule): Engine {
  const sessions = new Map<string, OrtInferenceSession>();
  const state = new Map<string, OrtTensor>();
  /** Tensors that were state before and may be written to, by output. */
  const spare = new Map<string, OrtTensor>();
  /** Tensors that the engine made, so that they may become spare. */
  const owned = new WeakSet<OrtTensor>();
  let dead = false;

  const toOrt = (t: WireTensor): OrtTensor =>
    new ort.Tensor(t.dtype as never, engineData(t) as never, t.shape) as OrtTensor;
  const feedsOf = (session: OrtInferenceSession, request: RunRequest) => {
    const feeds = new Map<string, OrtTensor>();
    for (const { name } of session.inputMetadata) {
      const kept = state.get(name);
      if (kept) feeds.set(name, kept);
    }
    for (const t of request.feeds) feeds.set(t.name, toOrt(t));
    return Object.fromEntries(feeds);
  };
  const opened = (id: string) => {
    const session = sessions.get(id);
    if (!session) throw failure("ort/closed", "the session is not open in the engine");
    return session;
  };

  const release = async (id: string) => {
    const session = sessions.get(id);
    sessions.delete(id);
    await session?.release();
  };

  return {
    async open(id, location, options) {
      const session = await refused(() => create(ort, location, options));
      sessions.set(id, session);
      return { inputs: session.inputMetadata.map(infoOf), outputs: session.outputMetadata.map(infoOf) };
    },
    async setState(values) {
      for (const v of values) state.set(v.name, toOrt(v));
    },
    async run(request) {
      const session = opened(request.id);
      const carry = request.commit ? request.carry : [];
      const fetches = new Map<string, OrtTensor | null>(request.fetches.map((name) => [name, null]));
      for (const [output] of carry) {
        const reuse = !fetches.has(output) && isStatic(session, output) ? spare.get(output) : undefined;
        fetches.set(output, reuse ?? null);
      }
      if (fetches.size === 0) return [];
      const results = new Map(
        Object.entries(await failed(() => session.run(feedsOf(session, request), Object.fromEntries(fetches)))),
      );
      for (const [output, input] of carry) {
        // A buffer of ours that was written to comes back as another tensor over it.
        const next = fetches.get(output) ?? results.get(output);
        if (!next) throw failure("ort/failed", "the engine gave no value for an output that is state", at(output));
        const last = state.get(input);
        if (last && owned.has(last)) spare.set(output, last);
        else spare.delete(output);
        owned.add(next);
        state.set(input, next);
      }
      const shared = new Set(carry.map(([output]) => output));
      return request.fetches.map((name) => {
        const result = results.get(name);
        if (!result) throw failure("ort/failed", "the engine gave no value for this output", at(name));
        return fromOrt(name, result, shared.has(name));
      });
    },
    async measure({ warmup, runs, ...request }) {
      const session = opened(request.id);
      const feeds = feedsOf(session, request);
      const fetches = Object.fromEntries(request.fetches.map((name) => [name, null]));
      const times: number[] = [];
      for (let i = -warmup; i < runs; i++) {
        const start = performance.now();
        await failed(() => session.run(feeds, fetches));
        if (i >= 0) times.push(performance.now() - start);
      }
      return times;
    },
    release,
    async kill() {
      dead = true;
      for (const id of [...sessions.keys()]) await release(id);
      state.clear();
      spare.clear();
    },
    alive: () => !dead,
  };
}

const at = (value: string) => ({ location: { value } });

async function create(ort: OrtModule, location: ModelLocation, options: EngineOptions): Promise<OrtInferenceSession> {
  const made =
    "path" in location
      ? ort.InferenceSession.create(location.path as never, options)
      : ort.InferenceSession.create(location.bytes as never, {
          ...options,
          ...(location.externalData.length > 0 ? { externalData: location.externalData } : {}),
        });
  return (await made) as OrtInferenceSession;
}

const isStatic = (session: OrtInferenceSession, output: string): boolean =>
  session.outputMetadata.find((m) => m.name === output)?.shape?.every((d) => typeof d === "number") ?? false;

function infoOf(m: OrtMetadata): WireInfo {
  if (!m.isTensor || !m.type) return { name: m.name };
  // The binding knows no unknown rank: it says [] for scalars and for it.
  const shape = (m.shape ?? []).map((d) =>
    typeof d === "number" && d >= 0 ? d : typeof d === "string" && d ? d : null,
  );
  return { name: m.name, dtype: m.type as DType, shape };
}

function engineData(t: WireTensor): unknown {
  if (t.dtype !== "string") return storageView(t.dtype, t.bytes);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return stringsOf(tensor("string", t.shape, t.bytes)).map((bytes) => {
    // The bindings hand strings on as C strings.
    if (bytes.includes(0))
      throw failure("ort/dtype", "strings with a NUL cannot be handed to ONNX Runtime", at(t.name));
    try {
      return decoder.decode(bytes);
    } catch {
      throw failure("ort/dtype", "strings that are not UTF-8 cannot be handed to ONNX Runtime", at(t.name));
    }
  });
}

function fromOrt(name: string, t: OrtTensor, copy: boolean): WireTensor {
  const dtype = t.type as DType;
  const shape = [...t.dims];
  if (!(dtype in dtypeBits)) throw failure("ort/dtype", `ONNX Runtime gave a value of type ${t.type}`, at(name));
  if (Array.isArray(t.data)) return { name, dtype, shape, bytes: stringTensor(shape, t.data as string[]).bytes };
  const bytes = bytesOf(t.data as ArrayBufferView);
  return { name, dtype, shape, bytes: copy ? bytes.slice() : bytes };
}

const refused = <T>(work: () => Promise<T>) => translated(work, "ort/refused", "ONNX Runtime refuses the model");
const failed = <T>(work: () => Promise<T>) => translated(work, "ort/failed", "ONNX Runtime failed");

/** Numbers of `TensorProto.DataType` that the binding names in its message. */
const unsupported = /Unsupported data type: (\d+)|Tensor\.type is not supported: (\w+)/;
const typeNames = new Map([
  ["16", "bfloat16"],
  ["14", "complex64"],
  ["15", "complex128"],
  ["17", "float8e4m3fn"],
  ["18", "float8e4m3fnuz"],
  ["19", "float8e5m2"],
  ["20", "float8e5m2fnuz"],
  ["23", "float4e2m1"],
  ["24", "float8e8m0"],
]);

async function translated<T>(work: () => Promise<T>, code: string, what: string): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isPareError(cause)) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    const [, number, type] = unsupported.exec(message) ?? [];
    if (number || type) throw dtypeFailure(type ?? typeNames.get(number!) ?? `number ${number}`);
    throw failure(code, `${what}: ${message.trim()}`);
  }
}

/** `value` is an input or output of a type that no JavaScript binding of ONNX Runtime carries. */
export const dtypeFailure = (dtype: string, value?: string) =>
  failure(
    "ort/dtype",
    `ONNX Runtime's JavaScript binding has no values of type ${dtype}, so that it can be no input, output or tap`,
    {
      hint: "Cast it inside the model.",
      ...(value === undefined ? {} : at(value)),
    },
  );
