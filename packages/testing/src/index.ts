export * from "./arbitrary.ts";
export * from "./build.ts";
export * from "./content.ts";
export type { Law } from "./law.ts";
export * from "./models.ts";
export * from "./mutants.ts";
export * from "./pass-laws.ts";
export * from "./synthetic.ts";
