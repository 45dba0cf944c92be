import { type DType, isPareError } from "@pare/core";
import { at, type Code, fail } from "./codes.ts";
import type { Engine, EngineOptions, RunRequest, WireInfo, WireSignature, WireTensor } from "./engine.ts";
import { type CompiledModel, type LiteRt, listOf, type RankedType, type TensorBuffer, type WasmModel } from "./wasm.ts";

/** LiteRT's numbers of element types that it has values of. */
const elementTypes = new Map<DType, number>([
  ["float32", 1],
  ["int32", 2],
  ["uint8", 3],
  ["int64", 4],
  ["bool", 6],
  ["int16", 7],
  ["complex64", 8],
  ["int8", 9],
  ["float16", 10],
  ["float64", 11],
  ["complex128", 12],
  ["uint64", 13],
  ["uint32", 16],
  ["uint16", 17],
  ["int4", 18],
  ["bfloat16", 19],
]);
const dtypes = new Map([...elementTypes].map(([dtype, number]) => [number, dtype]));

/** What is open: LiteRT reads the bytes of a model for as long as it is. */
interface Opened {
  readonly pointer: number;
  readonly model: WasmModel;
  readonly compiled: CompiledModel;
  readonly signatures: readonly WireSignature[];
}

/** The last piece of work in each LiteRT: sessions of one process share it and its log, so that they take turns. */
const queues = new WeakMap<LiteRt, Promise<unknown>>();

function exclusive<T>(litert: LiteRt, work: () => Promise<T>): Promise<T> {
  const next = (queues.get(litert) ?? Promise.resolve()).then(work);
  queues.set(
    litert,
    next.catch(() => {}),
  );
  return next;
}

/** An engine in this process. A run cannot be interrupted. `read` gets the bytes of a file. */
export function localEngine(litert: LiteRt, read: (path: string) => Promise<Uint8Array>): Engine {
  const { wasm, environment } = litert;
  const models = new Map<string, Opened>();
  let dead = false;

  /** Runs `work`; what LiteRT logs as an error is one, and what aborts the module ends the engine. */
  const guarded = <T>(code: Code, what: string, work: () => T | Promise<T>): Promise<T> =>
    exclusive(litert, () => watched(code, what, work));
  const watched = async <T>(code: Code, what: string, work: () => T | Promise<T>): Promise<T> => {
    if (dead) throw fail("litert/crashed", "LiteRT was aborted before");
    litert.takeErrors();
    try {
      const result = await work();
      const errors = litert.takeErrors();
      if (errors.length > 0) throw fail(code, `${what}: ${[...new Set(errors)].join("; ")}`);
      return result;
    } catch (cause) {
      if (isPareError(cause)) throw cause;
      const said = [...new Set(litert.takeErrors())].join("; ");
      const message = `${cause instanceof Error ? cause.message : cause}${said && `; ${said}`}`;
      if (cause instanceof WebAssembly.RuntimeError || /abort/i.test(message)) {
        dead = true;
        throw fail("litert/crashed", `LiteRT was aborted: ${message}`);
      }
      throw fail(code, `${what}: ${message}`);
    }
  };

  const infoOf = (name: string, type: RankedType): WireInfo => {
    const dtype = dtypes.get(type.elementType().value);
    const layout = type.layout();
    const shape = listOf(layout.dimensions());
    layout.delete();
    type.delete();
    return { name, shape, ...(dtype ? { dtype } : {}) };
  };
  const signaturesOf = (model: WasmModel): WireSignature[] =>
    Array.from({ length: model.getNumSignatures() }, (_, s) => {
      const signature = model.getSignature(s);
      const described = {
        key: signature.key(),
        inputs: listOf(signature.inputNames()).map((name, i) => infoOf(name, model.getInputTensorType(s, i))),
        outputs: listOf(signature.outputNames()).map((name, i) => infoOf(name, model.getOutputTensorType(s, i))),
      };
      signature.delete();
      return described;
    });

  const toBuffer = ({ dtype, shape, bytes }: WireTensor, name: string): TensorBuffer => {
    const element = elementTypes.get(dtype);
    if (element === undefined) throw fail("litert/dtype", `LiteRT has no values of type ${dtype}`, at(name));
    const dimensions = new wasm.VectorInt32();
    for (const d of shape) dimensions.push_back(d);
    const layout = wasm.LiteRtLayout.create(dimensions);
    const type = wasm.LiteRtRankedTensorType.create({ value: element }, layout);
    try {
      const size = type.bytes();
      if (size !== bytes.byteLength)
        throw fail("litert/input", `LiteRT takes ${size} bytes for it, but it has ${bytes.byteLength}`, at(name));
      const buffer = wasm.LiteRtTensorBuffer.createManaged(
        environment.liteRtEnvironment,
        wasm.LiteRtTensorBufferType.HOST_MEMORY,
        type,
        size,
      );
      const pointer = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
      wasm.HEAPU8.set(bytes, pointer);
      buffer.unlock();
      return buffer;
    } finally {
      for (const part of [type, layout, dimensions]) part.delete();
    }
  };
  const fromBuffer = (buffer: TensorBuffer, name: string): WireTensor => {
    const { dtype, shape } = infoOf(name, buffer.tensorType());
    if (!dtype) throw fail("litert/dtype", "LiteRT gives it in a type that has no values", at(name));
    const pointer = buffer.lock(wasm.LiteRtTensorBufferLockMode.READ);
    const bytes = wasm.HEAPU8.slice(pointer, pointer + buffer.packedSize());
    buffer.unlock();
    return { dtype, shape, bytes };
  };

  const opened = (id: string): Opened => {
    const model = models.get(id);
    if (!model) throw fail("litert/closed", "the model is not open in the engine");
    return model;
  };
  /** Puts the inputs in place and lets `use` run the model, as often as it likes; outputs are read where it asks. */
  const withInputs = <T>(
    { id, signature, inputs }: RunRequest,
    use: (run: (read: boolean) => Promise<WireTensor[]>) => Promise<T>,
  ): Promise<T> =>
    guarded("litert/failed", "LiteRT failed", async () => {
      const { compiled, signatures } = opened(id);
      const infos = signatures[signature]!;
      const buffers: TensorBuffer[] = [];
      try {
        for (const [i, t] of inputs.entries()) buffers.push(toBuffer(t, infos.inputs[i]!.name));
        return await use(async (read) => {
          const results = await compiled.run(signature, buffers);
          try {
            const errors = litert.takeErrors();
            if (errors.length > 0) throw fail("litert/failed", `LiteRT failed: ${[...new Set(errors)].join("; ")}`);
            return read ? results.map((r, i) => fromBuffer(r, infos.outputs[i]!.name)) : [];
          } finally {
            for (const result of results) result.delete();
          }
        });
      } finally {
        for (const buffer of buffers) buffer.delete();
      }
    });
  const close = ({ compiled, model, pointer }: Opened) => {
    compiled.delete();
    model.delete();
    wasm._free(pointer);
  };

  return {
    async open(id, location, options) {
      const bytes = "bytes" in location ? location.bytes : await read(location.path);
      return guarded("litert/refused", "LiteRT refuses the model", async () => {
        const pointer = wasm._malloc(bytes.byteLength);
        if (pointer === 0)
          throw fail("litert/too-large", `LiteRT's memory has no room for a model of ${bytes.byteLength} bytes`);
        wasm.HEAPU8.set(bytes, pointer);
        const model = wasm.loadModel(environment.liteRtEnvironment, pointer, bytes.byteLength);
        const compiled = await wasm.compileModel(
          environment.liteRtEnvironment,
          model,
          compileOptions(environment, options),
        );
        const entry = { pointer, model, compiled, signatures: signaturesOf(model) };
        models.set(id, entry);
        return entry.signatures;
      });
    },
    run: (request) => withInputs(request, (run) => run(true)),
    measure: ({ warmup, runs, ...request }) =>
      withInputs(request, async (run) => {
        const times: number[] = [];
        for (let i = -warmup; i < runs; i++) {
          const begin = performance.now();
          await run(false);
          if (i >= 0) times.push(performance.now() - begin);
        }
        return times;
      }),
    async release(id) {
      const model = models.get(id);
      models.delete(id);
      if (model) await exclusive(litert, async () => !dead && close(model));
    },
    async kill() {
      const open = [...models.values()];
      models.clear();
      if (!dead)
        await exclusive(litert, async () => {
          for (const model of open) close(model);
        });
      dead = true;
    },
    alive: () => !dead,
  };
}

const compileOptions = (environment: object, { accelerator, threads }: EngineOptions) => ({
  environment,
  accelerator,
  cpuOptions: { numThreads: threads },
  gpuOptions: {},
  webNNOptions: {},
});
