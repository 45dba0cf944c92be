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
  for (let i = 0; i < bytes.length; ) {
    const b = bytes[i]!;
    const length = b < 0x80 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
    const char = i + length <= bytes.length ? utf8(bytes.subarray(i, i + length)) : undefined;
    parts.push(char ?? String.fromCharCode(0xdc00 + b));
    i += char === undefined ? 1 : length;
  }
  return parts.join("");
}

/** The inverse of {@link textOf}. */
export function bytesOfText(text: string): Uint8Array {
  if (!/\p{Surrogate}/u.test(text)) return encoder.encode(text);
  const bytes: number[] = [];
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (char.length === 1 && code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(char));
  }
  return new Uint8Array(bytes);
}
