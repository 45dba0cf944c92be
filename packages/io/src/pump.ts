import { type ByteSource, CHUNK_BYTES, type FileWriter } from "@pare/core";

/** Bytes in memory, or that can be read. */
export type Piece = Uint8Array | Pick<ByteSource, "byteLength" | "read">;

/** Pieces that are read while one is written, so that reading, computing and writing overlap. */
const AHEAD = 3;

/** Writes pieces in order; what is not in memory is read in chunks of 1 MiB, a few ahead of the write. */
export async function pump(
  pieces: Iterable<Piece>,
  writer: FileWriter,
  signal?: AbortSignal,
  onWritten?: (bytes: number) => void,
): Promise<void> {
  const stop = new AbortController();
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const chunks = chunksIn(pieces, either);
  const waiting: Promise<Uint8Array>[] = [];
  let written = 0;
  try {
    for (;;) {
      while (waiting.length <= AHEAD) {
        const next = chunks.next();
        if (next.done) break;
        // A failure is met when its turn comes.
        next.value.catch(() => {});
        waiting.push(next.value);
      }
      const chunk = await waiting.shift();
      if (!chunk) return;
      signal?.throwIfAborted();
      await writer.write(chunk);
      written += chunk.byteLength;
      onWritten?.(written);
    }
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(waiting);
    throw error;
  }
}

function* chunksIn(pieces: Iterable<Piece>, signal: AbortSignal): Generator<Promise<Uint8Array>> {
  for (const piece of pieces)
    if (piece instanceof Uint8Array) yield Promise.resolve(piece);
    else
      for (let offset = 0; offset < piece.byteLength; offset += CHUNK_BYTES)
        yield piece.read({ offset, length: Math.min(CHUNK_BYTES, piece.byteLength - offset) }, signal);
}
