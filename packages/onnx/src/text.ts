const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** UTF-8 to text, or undefined where it is none. */
export function utf8(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Bytes to text without loss: a byte that is not UTF-8 becomes the lone surrogate U+DC00 + byte (PEP 383). */
export function textOf(bytes: Uint8Array): string {
  let ascii = bytes.length <= 64;
  for (let i = 0; ascii && i < bytes.length; i++) ascii = bytes[i]! < 128;
  if (ascii) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  return utf8(bytes) ?? escaped(bytes);
}

function escaped(bytes: Uint8Array): string {
  const parts: string[] = [];
  let units: number[] = [];
  for (let i = 0; i < bytes.length; ) {
    const length = sequence(bytes, i);
    const first = bytes[i]!;
    if (length < 2) units.push(length === 1 ? first : 0xdc00 + first);
    else {
      let code = first & (0xff >> (length + 1));
      for (let k = 1; k < length; k++) code = (code << 6) | (bytes[i + k]! & 0x3f);
      if (code < 0x10000) units.push(code);
      else units.push(0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
    }
    i += length || 1;
    if (units.length > 8000) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  return parts.join("") + String.fromCharCode(...units);
}

/** Bytes of the character at `i`, 0 where there is none (The Unicode Standard, table 3-7). */
function sequence(bytes: Uint8Array, i: number): number {
  const first = bytes[i]!;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let k = 1; k < length; k++) {
    const b = bytes[i + k];
    if (b === undefined || b < (k === 1 ? lowest : 0x80) || b > (k === 1 ? highest : 0xbf)) return 0;
  }
  return length;
}

/** The inverse of {@link textOf}. */
export function bytesOfText(text: string): Uint8Array {
  if (!/\p{Surrogate}/u.test(text)) return encoder.encode(text);
  const out = new Uint8Array(3 * text.length);
  let size = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i)!;
    if (code > 0xffff) i++;
    if (code < 0x80) out[size++] = code;
    else if (code >= 0xdc80 && code <= 0xdcff) out[size++] = code - 0xdc00;
    else size += encoder.encodeInto(String.fromCodePoint(code), out.subarray(size)).written;
  }
  return out.slice(0, size);
}
