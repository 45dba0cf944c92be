import { failure, type ResidentTensor, type Store } from "@pare/core";
import { getTensors, isCount, putTensors } from "./stored.ts";

/** Where a run of training is, and all that it needs to go on as if it had not stopped. */
export interface Checkpoint {
  /** Steps that were made. */
  readonly step: number;
  readonly epoch: number;
  /** Batches of the epoch that were used. */
  readonly batch: number;
  /** What the step is made of: a state fits no other. */
  readonly of: string;
  readonly state: ReadonlyMap<string, ResidentTensor>;
}

/** Keeps a checkpoint whole or not at all. */
export const putCheckpoint = (
  store: Store,
  key: string,
  { state, ...facts }: Checkpoint,
  signal?: AbortSignal,
): Promise<void> => putTensors(store, key, { facts, tensors: state }, signal);

/**
 * The checkpoint under a key, if there is one.
 * @throws PareError `train/checkpoint` when it is damaged, of another version, or of another step than `of`
 */
export async function getCheckpoint(
  store: Store,
  key: string,
  of: string,
  signal?: AbortSignal,
): Promise<Checkpoint | undefined> {
  const isWhole = (f: Readonly<Record<string, unknown>>) =>
    [f["step"], f["epoch"], f["batch"]].every(isCount) && typeof f["of"] === "string";
  const found = await getTensors(store, key, isWhole, signal);
  if (!found) return undefined;
  const { facts, tensors } = found as unknown as {
    readonly facts: Omit<Checkpoint, "state">;
    readonly tensors: Checkpoint["state"];
  };
  if (facts.of !== of)
    throw failure("train/checkpoint", "the checkpoint is of another training: model, loss, optimizer or batch differ", {
      hint: "Give another key, or remove it.",
    });
  return { step: facts.step, epoch: facts.epoch, batch: facts.batch, of, state: tensors };
}
