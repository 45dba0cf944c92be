import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type ResidentTensor, storageView } from "@pare/core";
import { stringsOf } from "@pare/core/strings";
import type { AnyValue } from "@pare/ops/evaluate";
import type { Answer, Job, Reply } from "./cases/ort-child.ts";

export type { Answer, OrtTensor } from "./cases/ort-child.ts";

/** A model of which ONNX Runtime says nothing for this long does not run. */
const PATIENCE_MS = 60_000;

/** Inputs as the engine's binding takes them, in the order of the model's; undefined where one is no tensor. */
export function feedsOf(values: Iterable<AnyValue>): Job["inputs"] | undefined {
  const inputs: Job["inputs"][number][] = [];
  for (const t of values) {
    if (!t || !("dtype" in t)) return undefined;
    inputs.push({ type: t.dtype, dims: t.shape, data: dataFor(t) });
  }
  return inputs;
}

function dataFor(t: ResidentTensor): unknown {
  if (t.dtype === "string") return stringsOf(t as ResidentTensor<"string">).map((s) => new TextDecoder().decode(s));
  return storageView(t.dtype, t.bytes.slice());
}

/** ONNX Runtime in a child, `script` being the bundle of ort-child.ts, that is started again after each crash. */
export function ortEngine(script: URL, signal?: AbortSignal) {
  let child: ChildProcess | undefined;
  let id = 0;
  const start = () => {
    const made = fork(fileURLToPath(script), {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      ...(signal ? { signal } : {}),
    });
    // An abort; the caller's loop meets it too.
    made.on("error", () => {});
    return made;
  };
  return {
    end: () => child?.kill(),
    run(path: string, inputs: Job["inputs"]): Promise<Answer> {
      const current = (child ??= start());
      const mine = ++id;
      return new Promise((resolve) => {
        const finish = (answer: Answer) => {
          clearTimeout(timer);
          current.off("message", hear).off("exit", gone);
          resolve(answer);
        };
        const gone = () => {
          child = undefined;
          finish({ why: "the engine crashed" });
        };
        const timer = setTimeout(() => current.kill("SIGKILL"), PATIENCE_MS);
        const hear = (reply: Reply) => {
          if (reply.id === mine) finish(reply);
        };
        current.on("message", hear).once("exit", gone);
        current.send({ id: mine, path, inputs } satisfies Job);
      });
    },
  };
}
