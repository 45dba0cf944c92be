import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/main.ts", "src/cases/*.ts", "!src/**/*.test.ts"],
  format: "esm",
  target: "es2022",
  splitting: true,
  clean: true,
});
