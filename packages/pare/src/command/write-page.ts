import { resolve } from "node:path";
import { writeFileAtomic } from "@pare/io";
import { htmlReport, type PageOptions } from "@pare/report";
import type { Io } from "../io.ts";

/** Writes a page whole or not at all. */
export const writePage = (io: Io, path: string, page: PageOptions): Promise<void> =>
  writeFileAtomic(resolve(io.cwd, path), htmlReport(page));
