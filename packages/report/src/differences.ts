/** A run of characters that two texts share, or that only one has. */
export interface Difference {
  readonly kind: "same" | "added" | "missing";
  readonly text: string;
}

const LIMIT = 2000;

/** What makes `got` of `reference`, character by character: their longest common subsequence and the rest. */
export function differences(reference: string, got: string): Difference[] {
  const a = [...reference];
  const b = [...got];
  if (a.length > LIMIT || b.length > LIMIT)
    return [
      { kind: "missing", text: reference },
      { kind: "added", text: got },
    ];
  // length[i][j]: longest common subsequence of a from i and b from j.
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i * width + j] =
        a[i] === b[j]
          ? length[(i + 1) * width + j + 1]! + 1
          : Math.max(length[(i + 1) * width + j]!, length[i * width + j + 1]!);
  const parts: { kind: Difference["kind"]; text: string }[] = [];
  const push = (kind: Difference["kind"], c: string) => {
    const last = parts.at(-1);
    if (last?.kind === kind) last.text += c;
    else parts.push({ kind, text: c });
  };
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length)
    if (i < a.length && j < b.length && a[i] === b[j]) {
      push("same", a[i++]!);
      j++;
    } else if (i < a.length && (j === b.length || length[(i + 1) * width + j]! >= length[i * width + j + 1]!))
      push("missing", a[i++]!);
    else push("added", b[j++]!);
  return parts;
}
