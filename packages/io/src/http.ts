import { type ByteRange, type ByteSource, checkRange, failure } from "@pare/core";
import { checkFileName } from "./file-name.ts";

/**
 * An HTTP resource, read by `Range` requests (RFC 9110, section 14). Every answer must be 206 with the range that was
 * asked for, of a resource of the size and `ETag` (or `Last-Modified`) that it had when it was opened.
 * @throws PareError `io/http` (status, network), `io/no-ranges` when the server ignores ranges, `io/changed`
 */
export async function httpSource(url: URL, signal?: AbortSignal): Promise<ByteSource> {
  const name = `${url.origin}${url.pathname}`;
  const first = await request(url, name, { offset: 0, length: 1 }, signal);
  await first.body?.cancel();
  if (first.status === 416 && first.headers.get("content-range") === "bytes */0") return emptySource(name);
  const { total } = contentRange(first, name);
  const version = versionOf(first);
  const closing = new AbortController();

  const read = async (range: ByteRange, caller?: AbortSignal): Promise<Uint8Array> => {
    const both = caller ? AbortSignal.any([caller, closing.signal]) : closing.signal;
    both.throwIfAborted();
    checkRange(range, total, name);
    if (range.length === 0) return new Uint8Array();
    const response = await request(url, name, range, both);
    try {
      const got = contentRange(response, name);
      if (got.total !== total || versionOf(response) !== version)
        throw failure("io/changed", "the resource changed since it was opened", {
          location: { file: name },
          hint: "Open it again.",
        });
      if (got.start !== range.offset || got.end !== range.offset + range.length - 1)
        throw failure(
          "io/http",
          `the server sent bytes ${got.start}-${got.end} where ${range.length} from ${range.offset} were asked for`,
          {
            location: { file: name },
          },
        );
      return await readExactly(response, range.length, name);
    } catch (error) {
      await response.body?.cancel().catch(() => {});
      both.throwIfAborted();
      throw error;
    }
  };
  return {
    name,
    byteLength: total,
    read,
    async close() {
      closing.abort(failure("io/closed", "the source was closed before this read", { location: { file: name } }));
    },
  };
}

/** Opens resources beside `url` by name, as {@link checkFileName} allows. */
export function httpSiblings(url: URL): (name: string) => Promise<ByteSource> {
  return (name) => {
    const path = checkFileName(name).split("/").map(encodeURIComponent).join("/");
    return httpSource(new URL(path, url));
  };
}

const emptySource = (name: string): ByteSource => ({
  name,
  byteLength: 0,
  async read(range) {
    checkRange(range, 0, name);
    return new Uint8Array();
  },
  async close() {},
});

async function request(url: URL, name: string, range: ByteRange, signal?: AbortSignal): Promise<Response> {
  const headers = { range: `bytes=${range.offset}-${range.offset + range.length - 1}`, "accept-encoding": "identity" };
  try {
    return await fetch(url, { headers, ...(signal ? { signal } : {}) });
  } catch (cause) {
    signal?.throwIfAborted();
    const why =
      cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : `${cause}`;
    throw failure("io/http", `the request failed: ${why}`, { location: { file: name }, cause });
  }
}

function contentRange(response: Response, name: string): { start: number; end: number; total: number } {
  const location = { file: name };
  if (response.status === 200)
    throw failure("io/no-ranges", "the server ignores Range requests and would send everything for each", {
      location,
      hint: "Download the file and open it by path, or pass its bytes or a Blob.",
    });
  if (response.status !== 206)
    throw failure("io/http", `the server answered ${response.status} ${response.statusText}`.trimEnd(), { location });
  if (!["", "identity"].includes(response.headers.get("content-encoding") ?? ""))
    throw failure("io/no-ranges", "the server compresses ranges, so that their offsets mean something else", {
      location,
    });
  const header = response.headers.get("content-range");
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(header ?? "");
  const [start, end, total] = (match?.slice(1) ?? []).map(Number);
  if (start === undefined || end === undefined || total === undefined || !Number.isSafeInteger(total))
    throw failure(
      "io/no-ranges",
      header === null
        ? "the answer has no Content-Range header"
        : `the answer's Content-Range is ${JSON.stringify(header)}`,
      {
        location,
        hint: "For another origin the server must send Access-Control-Expose-Headers: Content-Range, ETag.",
      },
    );
  return { start, end, total };
}

const versionOf = (response: Response): string =>
  response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";

async function readExactly(response: Response, length: number, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const step = await reader?.read();
    if (!step || step.done) break;
    if (step.value.length > length - at) {
      await reader?.cancel();
      at = Number.POSITIVE_INFINITY;
      break;
    }
    bytes.set(step.value, at);
    at += step.value.length;
  }
  if (at !== length)
    throw failure("io/http", `the server sent ${at < length ? `${at}` : "more"} bytes where ${length} were announced`, {
      location: { file: name },
    });
  return bytes;
}
