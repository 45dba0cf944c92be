import { lstat, realpath } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { type ByteSource, failure, type PareError } from "@pare/core";
import { fileFailure, fileSource, pathOf } from "./file.ts";
import { checkFileName } from "./file-name.ts";
import { httpSiblings } from "./http.ts";
import { urlOf } from "./source.ts";

/**
 * Opens files beside `path` (external data of a model, which is not trusted) by the names that the model gives.
 * Refused is what {@link checkFileName} refuses, a symlink in any part of the name, what lies outside the folder for
 * any other reason, a file with other hard links, and what is not a regular file. `path` itself may be a symlink: its
 * folder is the one it stands in. With an http(s) URL the files come from beside it.
 * @throws PareError `io/file-name`, `io/symlink`, `io/outside`, `io/hard-link`, `io/not-a-file`, `io/not-found`
 */
export function siblingOpener(path: string | URL): (name: string) => Promise<ByteSource> {
  const url = urlOf(path);
  if (url && /^https?:$/.test(url.protocol)) return httpSiblings(url);
  const folder = dirname(resolve(pathOf(url ?? path)));
  return async (name) => fileSource(await containedPath(folder, checkFileName(name)), { strict: true });
}

/**
 * The path of `name` in `folder`, after a look at every part of it on the disk. What does not exist (yet) is fine when
 * `missing` says so.
 */
export async function containedPath(folder: string, name: string, missing = false): Promise<string> {
  const path = join(folder, name);
  try {
    let part = folder;
    for (const segment of name.split("/")) {
      part = join(part, segment);
      // The last may be a link when writing: the rename replaces it.
      if (missing && part === path) break;
      const found = await lstat(part).catch((error) => {
        if (missing && error.code === "ENOENT") return undefined;
        throw error;
      });
      if (!found) return path;
      if (found.isSymbolicLink()) throw symlink(part);
    }
    const base = await realpath(folder);
    const real = await realpath(missing ? dirname(path) : path);
    if (!`${real}${missing ? sep : ""}`.startsWith(base.endsWith(sep) ? base : base + sep))
      throw failure("io/outside", `it lies outside ${base}`, { location: { file: path } });
  } catch (error) {
    throw fileFailure(error, path);
  }
  return path;
}

const symlink = (file: string): PareError =>
  failure("io/symlink", "it is a symbolic link, which may lead out of the model's folder", {
    location: { file },
    hint: "Put the file itself there (with huggingface-cli: download --local-dir).",
  });
