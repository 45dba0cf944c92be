import { type ByteSource, type Diagnostic, isPareError, RESIDENT_LIMIT, type Tensor } from "@pare/core";
import { checkFileName } from "@pare/io";
import { fail } from "./codes.ts";
import { rangeOf } from "./gather.ts";
import { type OnnxDocument, type Plan, planOf } from "./proto.ts";
import { isExternal, placed, shapeOf, storedTensor, type TensorProto } from "./tensors.ts";

/** Tensors of external data by their messages, and the files that they are in. */
export interface External {
  readonly tensors: ReadonlyMap<TensorProto, Tensor>;
  readonly diagnostics: readonly Diagnostic[];
  close(): Promise<void>;
}

export interface ExternalOptions {
  readonly signal?: AbortSignal;
  sibling?(name: string): Promise<ByteSource>;
}

/**
 * Opens the files that a document's tensors are in, through `sibling` only, and checks every name and range.
 * @throws PareError `onnx/external-location`, `onnx/external-range`, `onnx/external-missing`, and what `sibling` throws
 */
export async function openExternal(doc: OnnxDocument, file: string, options: ExternalOptions): Promise<External> {
  const protos = tensorsIn(planOf("ModelProto"), doc).filter(isExternal);
  const diagnostics: Diagnostic[] = [];
  const places = protos.map((p) => placed(`tensor ${p.name ?? ""}`, () => placeOf(p, file, diagnostics)));
  const names = [...new Set(places.map((p) => p.location))];
  if (names.length > 0 && !options.sibling)
    throw fail("onnx/external-missing", `weights are in other files: ${names.slice(0, 20).join(", ")}`, {
      location: { file },
      hint: "Open the model by its path, or pass the option sibling, which opens a file by its name.",
    });

  const files = new Map<string, ByteSource>();
  const close = async () => {
    await Promise.all([...files.values()].map((f) => f.close()));
  };
  try {
    for (const name of names) files.set(name, await options.sibling!(name));
    const tensors = new Map<TensorProto, Tensor>();
    let resident = 0;
    for (const [i, p] of protos.entries()) {
      const { location, offset, length } = places[i]!;
      const source = files.get(location)!;
      const { dtype, shape, byteLength } = shapeOf(p);
      if (offset > source.byteLength || byteLength > source.byteLength - offset)
        throw range(
          p,
          file,
          `${byteLength} bytes from ${offset} on are not in ${location}, which has ${source.byteLength}`,
        );
      if (length !== undefined && length !== byteLength)
        throw range(p, file, `${dtype} [${shape}] takes ${byteLength} bytes, but its length is given as ${length}`);
      const stored = rangeOf(source, offset, byteLength);
      const small = byteLength <= RESIDENT_LIMIT && resident < RESIDENT_TOTAL;
      if (small) resident += byteLength;
      // A copy: the source may give a view of something larger.
      const data = small ? (await stored.read({ offset: 0, length: byteLength }, options.signal)).slice() : stored;
      tensors.set(p, storedTensor(dtype, shape, data));
    }
    return { tensors, diagnostics, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** While less than this is in memory, small tensors are loaded. */
const RESIDENT_TOTAL = 256 << 20;

interface Place {
  readonly location: string;
  readonly offset: number;
  readonly length?: number;
}

const range = (p: TensorProto, file: string, message: string) =>
  fail("onnx/external-range", `tensor ${p.name ?? ""}: ${message}`, {
    location: { file },
    hint: "The model and its data file do not belong together, or one is damaged.",
  });

/** Where a tensor's data is. Only the keys that ONNX defines are read. */
function placeOf(p: TensorProto, file: string, diagnostics: Diagnostic[]): Place {
  const entries = new Map((p.external_data ?? []).map((e) => [e.key ?? "", e.value ?? ""]));
  if (shapeOf(p).dtype === "string") throw fail("onnx/tensor-data", "strings cannot be external data");
  for (const key of entries.keys())
    if (!["location", "offset", "length", "checksum", "basepath"].includes(key))
      diagnostics.push({
        code: "onnx/external-key",
        severity: "warning",
        message: `tensor ${p.name ?? ""}: the entry ${JSON.stringify(key.slice(0, 100))} of its external data is not one of ONNX and was not read`,
        location: { file },
      });
  const number = (key: string) => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const n = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(n))
      throw range(p, file, `${key} is ${JSON.stringify(text.slice(0, 40))}, not a number of bytes`);
    return n;
  };
  const length = number("length");
  return {
    location: nameOf(entries.get("location") ?? "", file),
    offset: number("offset") ?? 0,
    ...(length === undefined ? {} : { length }),
  };
}

/** A file name that stays in its folder. */
export function nameOf(location: string, file: string): string {
  try {
    return checkFileName(location);
  } catch (cause) {
    const why = isPareError(cause) ? cause.diagnostics[0]!.message : String(cause);
    throw fail("onnx/external-location", `external data: ${why}`, {
      location: { file },
      hint: "External data lies in the folder of the model or below. Do not trust this model.",
      cause,
    });
  }
}

/** Messages that tensors may be in. */
const holders = new Set("ModelProto FunctionProto GraphProto NodeProto AttributeProto SparseTensorProto".split(" "));

/** All tensors of a message, wherever they stand. */
function tensorsIn(plan: Plan, m: Readonly<Record<string, unknown>>, found: TensorProto[] = []): TensorProto[] {
  if (plan.name === "TensorProto") found.push(m as TensorProto);
  else if (holders.has(plan.name))
    for (const field of plan.fields) {
      const held = field?.plan && m[field.name];
      if (!held) continue;
      if (field.repeated) for (const inner of held as Record<string, unknown>[]) tensorsIn(field.plan!, inner, found);
      else tensorsIn(field.plan!, held as Record<string, unknown>, found);
    }
  return found;
}
