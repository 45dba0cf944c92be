/** Engines in processes of their own. Node only. */
export { type EngineProcess, type EngineProcessOptions, engineProcess } from "./child.ts";
export { resolveModule, versionAbove } from "./resolve.ts";
export { type Answer, serve } from "./serve.ts";
