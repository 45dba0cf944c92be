// Runs pnpm at the version that package.json pins, whether or not this machine has it: npm fetches it once.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { packageManager } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** Runs `pnpm ...args` in the workspace root and ends this process when it fails. */
export function pnpm(args, { quiet = false } = {}) {
  // npm's own settings reach a script as npm_config_* variables, which pnpm would complain about.
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_(?!config_registry)/.test(key)));
  env.TURBO_TELEMETRY_DISABLED = "1";
  const shell = process.platform === "win32";
  const result = spawnSync("npx", ["--yes", packageManager, ...args], {
    cwd: root,
    env,
    shell,
    stdio: quiet ? ["ignore", "pipe", "pipe"] : "inherit",
    maxBuffer: 1 << 28,
  });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    if (quiet) process.stderr.write(`${result.stdout}${result.stderr}`);
    process.exit(result.status ?? 1);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) pnpm(process.argv.slice(2));
