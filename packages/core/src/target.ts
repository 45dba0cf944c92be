import type { DType } from "./dtype.ts";
import type { Node } from "./model.ts";
import type { GraphView } from "./view.ts";

/** What a target says of one node. */
export type Verdict = { readonly ok: true } | { readonly ok: false; readonly reason: string; readonly hint?: string };

/** What one operator may be on a target. */
export interface OperatorRule {
  /** Element types of its values; by default the target's. */
  readonly dtypes?: readonly DType[];
  /** What a table cannot say. Pure. */
  readonly accepts?: (node: Node, view: GraphView) => Verdict;
}

/** What one kind of device and its runtime accept: tables and, where a table cannot say it, pure predicates. */
export interface Target {
  readonly name: string;
  /** Name of the runtime that runs it, `onnxruntime`. */
  readonly runtime: string;
  /** Highest version of each operator domain that it loads. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Operators by `domain.op`, or `op` for the standard domain. */
  readonly operators: ReadonlyMap<string, OperatorRule>;
  /** Element types that values may have. */
  readonly dtypes: readonly DType[];
  /** How it computes in integers, if it does. */
  readonly quantization?: QuantizationScheme;
}

/** Integer codes in which a target holds numbers: `value = (code - zeroPoint) * scale`. */
export interface CodeFormat {
  readonly dtype: DType;
  /** Whether zero points are all 0 (half of the codes, where they are unsigned). */
  readonly symmetric: boolean;
  /** What shares a scale. Activations have one for each tensor. */
  readonly granularity: "tensor" | "channel";
  /** Bits that are used, where that is fewer than the type has: 7 where two products could saturate an accumulator. */
  readonly bits?: number;
}

/** How a target computes one operator in integers. */
export interface QuantizedOperator {
  /**
   * `compute` is worth it by itself; `carry` (pooling, addition, reshaping) is done in integers only between operators
   * that are.
   */
  readonly role: "compute" | "carry";
  /** Positions of inputs that hold activations. Default: all but weight and bias. */
  readonly activations?: readonly number[];
  /** Position of the weight, and of the bias, where they are constant. */
  readonly weight?: number;
  readonly bias?: number;
  /** Axis of the weight along which scales lie, where it is not the operator's output channel. */
  readonly weightAxis?: number;
  /** What shares a scale of the weight, where that is not what the scheme says of weights. */
  readonly granularity?: CodeFormat["granularity"];
  /**
   * The output's codes: of its own range, the same as those of the first input (and of all others: one scale), or
   * always these, also where the operator itself is not computed in integers. `float` where the output need not be quantized for the operator to be.
   */
  readonly output: "own" | "input" | "float" | { readonly scale: number; readonly zeroPoint: number };
  /** What a table cannot say. Pure. */
  readonly accepts?: (node: Node, view: GraphView) => Verdict;
}

/** How a target computes in integers. */
export interface QuantizationScheme {
  readonly activations: CodeFormat;
  readonly weights: CodeFormat;
  /** Element type of biases, whose scale is that of the input times that of the weight; `float32` leaves them alone. */
  readonly bias: "int32" | "float32";
  /** By name, as in {@link Target.operators}. What is not listed stays float32. */
  readonly operators: ReadonlyMap<string, QuantizedOperator>;
  /** Operators that are computed together, in order: between them no value is quantized. */
  readonly fused: readonly (readonly string[])[];
  /** Whether an addition in `fused` may be of another activation (a residual), which then gets codes; otherwise of constants only. */
  readonly fusesResidual?: boolean;
}
