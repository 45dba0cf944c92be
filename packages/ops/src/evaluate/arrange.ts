import { elementCount, failure } from "@pare/core";
import { dtypeOfCode } from "../dtype-codes.ts";
import { eachIndex, type Nd, nd, newData, numbersOf, stridesOf, wholeAxis } from "./array.ts";
import { type EvaluateRule, type EvaluateRules, input, int, intList, ints, text } from "./rule.ts";

/** Each element of a new shape from where it stands in `x`; undefined where nothing stands. */
function placed(
  x: Nd,
  shape: readonly number[],
  from: (index: readonly number[]) => readonly number[] | undefined,
): Nd {
  const strides = stridesOf(x.shape);
  const data = newData(x.dtype, shape);
  eachIndex(shape, (index, flat) => {
    const at = from(index);
    if (at?.every((i, k) => i >= 0 && i < x.shape[k]!))
      data[flat] = x.data[at.reduce((sum, i, k) => sum + i * strides[k]!, 0)]! as never;
  });
  return { dtype: x.dtype, shape, data };
}

const depthToSpace: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const block = int(call, "blocksize", 1);
  const depth = c / block ** 2;
  const byColumn = text(call, "mode", "DCR") === "CRD";
  return [
    placed(x, [n, depth, h * block, w * block], ([b, d, y, z]) => {
      const within = (y! % block) * block + (z! % block);
      const channel = byColumn ? d! * block ** 2 + within : within * depth + d!;
      return [b!, channel, Math.floor(y! / block), Math.floor(z! / block)];
    }),
  ];
};

const spaceToDepth: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const block = int(call, "blocksize", 1);
  return [
    placed(x, [n, c * block ** 2, h / block, w / block], ([b, d, y, z]) => {
      const within = Math.floor(d! / c);
      return [b!, d! % c, y! * block + Math.floor(within / block), z! * block + (within % block)];
    }),
  ];
};

const centerCropPad: EvaluateRule = (call) => {
  const x = input(call, 0);
  const wanted = ints(call, 1)!;
  const axes = (intList(call, "axes") ?? x.shape.map((_, i) => i)).map((a) => wholeAxis(a, x.shape.length));
  const shape = [...x.shape];
  axes.forEach((axis, i) => {
    shape[axis] = wanted[i]!;
  });
  // Of an odd difference the larger part is at the end.
  const begin = shape.map((d, k) =>
    d < x.shape[k]! ? Math.floor((x.shape[k]! - d) / 2) : -Math.floor((d - x.shape[k]!) / 2),
  );
  return [placed(x, shape, (index) => index.map((i, k) => i + begin[k]!))];
};

const eyeLike: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [rows, columns] = x.shape as [number, number];
  const code = int(call, "dtype", 0);
  const k = int(call, "k", 0);
  const ones = Array.from({ length: rows * columns }, (_, i) => Number((i % columns) - Math.floor(i / columns) === k));
  return [nd(code ? dtypeOfCode(code) : x.dtype, [rows, columns], ones)];
};

/** Adds up the columns of sliding blocks into an image. */
const col2Im: EvaluateRule = (call) => {
  const x = input(call, 0);
  const [image, block] = [ints(call, 1)!, ints(call, 2)!];
  const rank = image.length;
  const strides = intList(call, "strides") ?? image.map(() => 1);
  const dilations = intList(call, "dilations") ?? image.map(() => 1);
  const pads = intList(call, "pads") ?? new Array<number>(2 * rank).fill(0);
  const taps = elementCount(block);
  const [batch, rows, columns] = x.shape as [number, number, number];
  const planes = (batch * rows) / taps;
  const counts = image.map((d, i) =>
    Math.floor((d + pads[i]! + pads[i + rank]! - dilations[i]! * (block[i]! - 1) - 1) / strides[i]! + 1),
  );
  const steps = stridesOf(image);
  const area = elementCount(image);
  const shape = [batch, rows / taps, ...image];
  const data = newData("float64", shape) as Float64Array;
  const values = numbersOf(x);
  if (planes * taps * columns !== x.data.length || columns !== elementCount(counts))
    throw failure("ops/shape", `Col2Im: [${x.shape}] is not the blocks of an image`);
  call.budget.spend(taps * columns * (16 + planes));
  eachIndex(block, (tap, t) =>
    eachIndex(counts, (position, column) => {
      const at = position.map((p, i) => p * strides[i]! - pads[i]! + tap[i]! * dilations[i]!);
      if (!at.every((p, i) => p >= 0 && p < image[i]!)) return;
      const to = at.reduce((sum, p, i) => sum + p * steps[i]!, 0);
      for (let plane = 0; plane < planes; plane++)
        data[plane * area + to]! += values[(plane * taps + t) * columns + column]!;
    }),
  );
  return [{ dtype: x.dtype, shape, data }];
};

/** The determinant of each matrix, by elimination with pivots. */
const det: EvaluateRule = (call) => {
  const x = input(call, 0);
  const n = x.shape.at(-1)!;
  const shape = x.shape.slice(0, -2);
  call.budget.spend(x.data.length * n);
  const data = Float64Array.from({ length: elementCount(shape) }, (_, m) => {
    const a = Array.from({ length: n }, (_, r) =>
      Array.from(numbersOf(x).subarray((m * n + r) * n, (m * n + r + 1) * n)),
    );
    let product = 1;
    for (let c = 0; c < n; c++) {
      let pivot = c;
      for (let r = c + 1; r < n; r++) if (Math.abs(a[r]![c]!) > Math.abs(a[pivot]![c]!)) pivot = r;
      const top = a[pivot]!;
      if (top[c] === 0) return 0;
      if (pivot !== c) {
        a[pivot] = a[c]!;
        a[c] = top;
        product = -product;
      }
      product *= top[c]!;
      for (let r = c + 1; r < n; r++) {
        const f = a[r]![c]! / top[c]!;
        for (let k = c; k < n; k++) a[r]![k]! -= f * top[k]!;
      }
    }
    return product;
  });
  return [{ dtype: x.dtype, shape, data }];
};

/** Letters of the axes of each operand and of the result; an ellipsis stands for as many axes as are left. */
function equationOf(
  text: string,
  ranks: readonly number[],
): { readonly operands: string[][]; readonly result: string[] } {
  const [left, right] = text.replace(/\s/g, "").split("->") as [string, string | undefined];
  const terms = left.split(",");
  const extra = Math.max(0, ...terms.map((t, i) => (t.includes("...") ? ranks[i]! - (t.length - 3) : 0)));
  const letters = (term: string, rank: number): string[] =>
    term
      .split(/(\.\.\.)/)
      .flatMap((part) =>
        part === "..."
          ? Array.from({ length: rank - (term.length - 3) }, (_, i) => `.${extra - (rank - (term.length - 3)) + i}`)
          : [...part],
      );
  const operands = terms.map((t, i) => letters(t, ranks[i]!));
  const all = operands.flat();
  const once = [...new Set(all)].filter((l) => l.startsWith(".") || all.indexOf(l) === all.lastIndexOf(l)).sort();
  return { operands, result: right === undefined ? once : letters(right, extra + right.replace("...", "").length) };
}

const einsum: EvaluateRule = (call) => {
  const inputs = call.inputs.map((_, i) => input(call, i));
  const { operands, result } = equationOf(
    text(call, "equation", ""),
    inputs.map((x) => x.shape.length),
  );
  const sizes = new Map<string, number>();
  for (const [i, letters] of operands.entries())
    for (const [k, l] of letters.entries()) sizes.set(l, Math.max(sizes.get(l) ?? 1, inputs[i]!.shape[k]!));
  const summed = [...sizes.keys()].filter((l) => !result.includes(l));
  const all = [...result, ...summed];
  // For each operand, how far one step of each letter goes; along an axis of one it does not.
  const steps = operands.map((letters, i) => {
    const strides = stridesOf(inputs[i]!.shape);
    return all.map((l) =>
      letters.reduce((sum, m, k) => sum + (m === l && inputs[i]!.shape[k]! > 1 ? strides[k]! : 0), 0),
    );
  });
  const shape = result.map((l) => sizes.get(l)!);
  call.budget.spend(32 * inputs.length * elementCount(all.map((l) => sizes.get(l)!)));
  const inner = elementCount(summed.map((l) => sizes.get(l)!));
  const data = newData("float64", shape) as Float64Array;
  eachIndex(
    all.map((l) => sizes.get(l)!),
    (index, flat) => {
      let product = 1;
      for (const [i, by] of steps.entries())
        product *= Number(inputs[i]!.data[index.reduce((sum, j, k) => sum + j * by[k]!, 0)]);
      data[Math.floor(flat / inner)]! += product;
    },
  );
  return [nd(inputs[0]!.dtype, shape, data)];
};

export const arrangements: EvaluateRules = {
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  CenterCropPad: centerCropPad,
  EyeLike: eyeLike,
  Col2Im: col2Im,
  Det: det,
  Einsum: einsum,
};
