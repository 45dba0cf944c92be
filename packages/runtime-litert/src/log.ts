/**
 * LiteRT's log, in which alone it says that a model could not be prepared or run: what it gives then is memory that nobody
 * wrote to. Its lines come through Emscripten's `printErr`, which the page or process may set before the module is loaded.
 */
export interface Log {
  readonly print: (line: string) => void;
  /** Errors since they were last taken. */
  take(): readonly string[];
}

const KEPT = 32;

export function makeLog(): Log {
  let errors: string[] = [];
  return {
    print(line) {
      const [, message] = /^ERROR: (?:\[[^\]]*\] )?(.*)/s.exec(String(line)) ?? [];
      if (message !== undefined && errors.length < KEPT) errors.push(message.trim());
    },
    take() {
      const taken = errors;
      errors = [];
      return taken;
    },
  };
}
