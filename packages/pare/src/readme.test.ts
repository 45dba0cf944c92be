import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { main } from "./main.ts";

const readme = new URL("../README.md", import.meta.url);

async function help(command: string): Promise<string> {
  let out = "";
  const code = await main(command === "pare" ? ["--help"] : [command, "--help"], {
    stdout: { write: (s: string) => (out += s), columns: 110 },
    stderr: { write() {} },
    signal: new AbortController().signal,
    cwd: ".",
  });
  expect(code).toBe(0);
  return out.trim();
}

// After a change of options: UPDATE_README=1 npx vitest run packages/pare/src/readme
test("the README's command reference is what the commands print", async () => {
  const text = await readFile(readme, "utf8");
  let current = text;
  for (const [block, command] of text.matchAll(/<!-- help: (\w+) -->\n```\n[\s\S]*?```/g))
    current = current.replace(block!, () => `<!-- help: ${command} -->\n\`\`\`\n${"@".repeat(3)}${command}\n\`\`\``);
  for (const command of ["pare", "inspect", "compress", "compare", "bench"]) {
    expect(current).toContain(`@@@${command}\n`);
    current = current.replace(`@@@${command}\n`, `${await help(command)}\n`);
  }
  if (process.env["UPDATE_README"]) await writeFile(readme, current);
  else expect(text).toBe(current);
});
