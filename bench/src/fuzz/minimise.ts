/**
 * Makes a message smaller for as long as `fails` holds: takes out items of lists and fields, large parts first. Changes
 * `message` itself, and stops after `most` trials.
 */
export async function minimise(message: object, fails: () => Promise<boolean>, most = 300): Promise<void> {
  let trials = 0;
  const attempt = async (change: () => void, undo: () => void): Promise<boolean> => {
    if (trials++ >= most) return false;
    change();
    if (await fails()) return true;
    undo();
    return false;
  };
  const shrink = async (value: unknown): Promise<void> => {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
    if (Array.isArray(value)) {
      for (
        let size = Math.ceil(value.length / 2);
        size >= 1 && value.length > 0;
        size = size === 1 ? 0 : Math.ceil(size / 2)
      )
        for (let at = 0; at < value.length; ) {
          const removed = value.slice(at, at + size);
          const gone = await attempt(
            () => value.splice(at, removed.length),
            () => value.splice(at, 0, ...removed),
          );
          if (!gone) at += size;
        }
      for (const item of value) await shrink(item);
      return;
    }
    const fields = value as Record<string, unknown>;
    for (const [key, held] of Object.entries(fields)) {
      const gone = await attempt(
        () => delete fields[key],
        () => (fields[key] = held),
      );
      if (!gone) await shrink(held);
    }
  };
  await shrink(message);
}

/** The same for bytes without a structure that is known: takes out runs of them. */
export async function minimiseBytes(
  bytes: Uint8Array,
  fails: (b: Uint8Array) => Promise<boolean>,
  most = 200,
): Promise<Uint8Array> {
  let current = bytes;
  let trials = 0;
  for (let size = current.length >> 1; size >= 1; size >>= 1)
    for (let at = 0; at < current.length && trials < most; ) {
      trials++;
      const shorter = new Uint8Array(current.length - Math.min(size, current.length - at));
      shorter.set(current.subarray(0, at));
      shorter.set(current.subarray(at + size), at);
      if (await fails(shorter)) current = shorter;
      else at += size;
    }
  return current;
}
