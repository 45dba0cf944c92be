/** The regular files of a tar archive (POSIX ustar, without long names) by their paths. */
export function* filesOfTar(archive: Uint8Array): Generator<{ readonly path: string; readonly bytes: Uint8Array }> {
  const decoder = new TextDecoder();
  for (let at = 0; at + 512 <= archive.length; ) {
    const text = (from: number, length: number) => {
      const field = archive.subarray(at + from, at + from + length);
      const end = field.indexOf(0);
      return decoder.decode(end < 0 ? field : field.subarray(0, end));
    };
    const name = text(0, 100);
    if (name === "") return;
    const size = Number.parseInt(text(124, 12), 8);
    const kind = text(156, 1);
    const prefix = text(345, 155);
    if (kind === "0" || kind === "")
      yield { path: prefix ? `${prefix}/${name}` : name, bytes: archive.subarray(at + 512, at + 512 + size) };
    // Folders, and remarks on the archive as a whole.
    else if (kind !== "5" && kind !== "g")
      throw new Error(`${name} is an entry of kind ${kind}, which this reader does not know`);
    at += 512 + 512 * Math.ceil(size / 512);
  }
}
