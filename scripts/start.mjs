// Installs and builds what is needed, then runs the sample apps one after the other with the same options.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import "./setup.mjs";

const options = process.argv.slice(2);
for (const app of ["edge-deploy", "digits"]) {
  const main = fileURLToPath(new URL(`../apps/${app}/dist/main.js`, import.meta.url));
  const { status, error } = spawnSync(process.execPath, [main, ...options], { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
