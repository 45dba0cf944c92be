import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["pare-source"] },
  ssr: { resolve: { conditions: ["pare-source", "node", "import", "module", "default"] } },
  test: {
    include: [
      "packages/*/src/**/*.test.ts",
      "apps/*/src/**/*.test.ts",
      "bench/src/**/*.test.ts",
      "examples/*/src/**/*.test.ts",
      "tests/**/*.test.ts",
    ],
    testTimeout: 30_000,
  },
});
