import { Command, CommanderError } from "commander";
import { commands } from "./command/index.ts";
import { exitCodes, type Io } from "./io.ts";
import { version } from "./version.ts";

/**
 * The command line. Nothing heavy is loaded before the command is known.
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 less covered than asked, 4 the result is not usable, 130 interrupted
 */
export async function main(argv: readonly string[], io: Io): Promise<number> {
  const program = new Command("pare")
    .description("Makes trained neural networks small and fast enough for phones and edge devices.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help, or that of a command")
    .addHelpText("after", help);
  const found: { exitCode?: number } = {};
  for (const { name, summary, load } of commands) {
    const command = program.command(name).summary(summary).description(summary);
    // Only the command that is called is built: its options come from packages that take a while to load.
    if (firstWord(argv) === name || (argv[0] === "help" && argv[1] === name)) {
      const { build } = await load();
      build(command, io, (code) => {
        found.exitCode = code;
      });
    }
  }
  for (const c of [program, ...program.commands])
    c.exitOverride()
      .showSuggestionAfterError()
      .showHelpAfterError(`(${c === program ? "pare" : `pare ${c.name()}`} --help tells more)`)
      .configureOutput({
        writeOut: (text) => void io.stdout.write(text),
        writeErr: (text) => void io.stderr.write(text),
        getOutHelpWidth: () => Math.min(io.stdout.columns ?? 100, 110),
      });
  const json = argv.includes("--json");
  try {
    if (argv.length === 0) {
      io.stderr.write(program.helpInformation());
      return exitCodes.usage;
    }
    await program.parseAsync([...argv], { from: "user" });
    return found.exitCode ?? exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.ok;
      if (json)
        io.stdout.write(
          `${JSON.stringify({ error: { code: "pare/usage", message: error.message.replace(/^error: /, "") } })}\n`,
        );
      return exitCodes.usage;
    }
    const { reportError } = await import("./command/errors.ts");
    return reportError(error, io, { json, debug: argv.includes("--debug") });
  }
}

const firstWord = (argv: readonly string[]) => argv.find((a) => !a.startsWith("-"));

const help = `
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 less was covered than asked;
4 the result must not be used (NaN, or outputs far off); 130 interrupted.

Examples:
  pare inspect model.onnx
  pare compress model.onnx --float16 -o model_fp16.onnx
  pare compress model.onnx --int8-weights.granularity channel --suffixes
  pare compare model.onnx model_int8.onnx --all`;
