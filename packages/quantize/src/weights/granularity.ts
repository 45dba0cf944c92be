import { type Candidate, channelAxis, reductionAxis } from "@pare/ops/weights";
import type { Granularity } from "./layout.ts";

/** What shares a scale of a weight where `kind` is asked for: the whole tensor where the weight has no such axis. */
export function granularityOf({ tensor, role }: Candidate, kind: Granularity["kind"], blockSize = 32): Granularity {
  const rank = tensor.shape.length;
  if (kind === "tensor" || rank < 2) return { kind: "tensor" };
  const operandAxis = (kind === "block" ? reductionAxis : channelAxis)(role.op, role.input, rank);
  if (operandAxis === undefined) return { kind: "tensor" };
  const axis = role.storedAxis(operandAxis);
  return kind === "channel" ? { kind, axis } : { kind, axis, size: blockSize };
}
