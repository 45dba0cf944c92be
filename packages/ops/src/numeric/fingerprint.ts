/**
 * A running name of bytes: different ones nearly always have different names, which tells apart and is never proof.
 * Two lanes of multiplicative hashes, as cyrb53 has.
 */
export class Fingerprint {
  #a = 0xdeadbeef;
  #b = 0x41c6ce57;

  add(data: ArrayBufferView): this {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    let [a, b] = [this.#a, this.#b];
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i]!, 2654435761);
      b = Math.imul(b ^ bytes[i]!, 1597334677) ^ (a >>> 15);
    }
    [this.#a, this.#b] = [a, b];
    return this;
  }

  /** Sixteen hexadecimal digits. */
  toString(): string {
    return [this.#a, this.#b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
