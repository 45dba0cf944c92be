import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeLaws } from "@pare/testing";
import { afterAll, test } from "vitest";
import { folderStore, memoryStore } from "./index.node.ts";

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((f) => rm(f, { recursive: true, force: true }))));

async function inFolder() {
  const folder = await mkdtemp(join(tmpdir(), "pare-laws-"));
  folders.push(folder);
  return folderStore(folder);
}

for (const law of [...storeLaws("memory", memoryStore), ...storeLaws("folder", inFolder)]) test(law.name, law.run);
