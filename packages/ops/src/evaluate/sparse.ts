import { failure, resident, type SparseTensor } from "@pare/core";
import { fromTensor, type Nd, newData, numbersOf, stridesOf } from "./array.ts";

/** A sparse tensor with its zeros. @throws PareError `ops/too-large`, `ops/shape` */
export async function denseOf(sparse: SparseTensor, signal?: AbortSignal): Promise<Nd> {
  const { shape } = sparse;
  const values = fromTensor(await resident(sparse.values, signal));
  const indices = fromTensor(await resident(sparse.indices, signal));
  const data = newData(values.dtype, shape);
  const at = numbersOf(indices);
  // Places are counted through, or have an index for each axis.
  const strides = indices.shape.length === 2 ? stridesOf(shape) : [1];
  for (let i = 0; i < values.data.length; i++) {
    const place = strides.reduce((sum, step, axis) => sum + at[i * strides.length + axis]! * step, 0);
    if (!(place >= 0 && place < data.length)) throw failure("ops/shape", `[${shape}] has no place ${place}`);
    data[place] = values.data[i]! as never;
  }
  return { dtype: values.dtype, shape, data };
}
