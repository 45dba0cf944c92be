// Installs what the lockfile names and builds every package. With nothing to do it takes a second.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { pnpm } from "./pnpm.mjs";

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Pare needs Node 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}
const say = (text) => process.stderr.write(`${text}\n`);
const lock = readFileSync(new URL("../pnpm-lock.yaml", import.meta.url), "utf8");
const stamp = new URL("../node_modules/.pare-lock", import.meta.url);
const installed = existsSync(stamp) && readFileSync(stamp, "utf8") === lock;
if (!installed) {
  say("Installing what the lockfile names …");
  pnpm(["install", "--frozen-lockfile", "--reporter=append-only"], { quiet: true });
  writeFileSync(stamp, lock);
}
say("Building …");
pnpm(["exec", "turbo", "run", "build", "--output-logs=errors-only"], { quiet: true });
