/** A running name of bytes: different ones nearly always have different names. Multiplicative hashes, as cyrb53 has. */
export class Digest {
  #a = 0xdeadbeef;
  #b = 0x41c6ce57;

  add(bytes: Uint8Array): this {
    let [a, b] = [this.#a, this.#b];
    for (let i = 0; i < bytes.length; i++) {
      a = Math.imul(a ^ bytes[i]!, 2654435761);
      b = Math.imul(b ^ bytes[i]!, 1597334677) ^ (a >>> 15);
    }
    [this.#a, this.#b] = [a, b];
    return this;
  }

  toString(): string {
    return `${(this.#a >>> 0).toString(16)}${(this.#b >>> 0).toString(16).padStart(8, "0")}`;
  }
}
