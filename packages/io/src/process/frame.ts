/**
 * Messages between the processes: a length (uint32, little endian), so many bytes of JSON `[body, lengths]`, and parts
 * of those lengths, raw. Node's own channel copies tensors several times (140 MB/s) and throws where nobody can catch
 * it above 2 GB.
 */
export interface Frame {
  readonly body: unknown;
  readonly parts: readonly Uint8Array[];
}

const MAX_HEADER = 1 << 28;

/** The head of a frame; its parts follow as they are. */
export function frameHead({ body, parts }: Frame): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify([body, parts.map((p) => p.byteLength)]));
  const head = new Uint8Array(4 + json.byteLength);
  new DataView(head.buffer).setUint32(0, json.byteLength, true);
  head.set(json, 4);
  return head;
}

export function headerLength(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (length > MAX_HEADER) throw new Error(`a message header of ${length} bytes`);
  return length;
}

export function parseHeader(bytes: Uint8Array): { body: unknown; lengths: number[] } {
  const [body, lengths] = JSON.parse(new TextDecoder().decode(bytes)) as [unknown, number[]];
  return { body, lengths };
}

/** Takes chunks as they come and gives whole frames. Parts are written to their own memory once. */
export function frameParser(onFrame: (frame: Frame) => void): (chunk: Uint8Array) => void {
  let target = new Uint8Array(4);
  let at = 0;
  let next: () => void = readLength;
  function want(length: number, then: () => void) {
    target = new Uint8Array(length);
    at = 0;
    next = then;
    if (length === 0) then();
  }
  function readLength() {
    want(headerLength(target), readHeader);
  }
  function readHeader() {
    const { body, lengths } = parseHeader(target);
    const parts: Uint8Array[] = [];
    const readPart = () => {
      const length = lengths[parts.length];
      if (length !== undefined)
        return want(length, () => {
          parts.push(target);
          readPart();
        });
      want(4, readLength);
      onFrame({ body, parts });
    };
    readPart();
  }
  return (chunk) => {
    for (let from = 0; from < chunk.length; ) {
      const length = Math.min(chunk.length - from, target.length - at);
      target.set(chunk.subarray(from, from + length), at);
      from += length;
      at += length;
      if (at === target.length) next();
    }
  };
}
