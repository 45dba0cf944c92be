import type { Model } from "@pare/core";

/** MACs of one run. */
export interface ModelCost {
  readonly macs: number;
  /** Nodes of which they are not known, shapes being free. */
  readonly unknown: number;
  /** The sizes that were taken for free dimensions, for people. */
  readonly assumed?: string;
  readonly byOperator: ReadonlyMap<string, number>;
}

export const modelCost = (_model: Model, _shapes?: ReadonlyMap<string, readonly number[]>): ModelCost => ({
  macs: 0,
  unknown: 0,
  byOperator: new Map(),
});
