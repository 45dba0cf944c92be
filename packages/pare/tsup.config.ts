import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

export default defineConfig(
  library(
    { cli: "src/cli.ts" },
    {
      removeNodeProtocol: false,
      dts: { entry: { index: "src/index.ts" }, compilerOptions: { customConditions: [] } },
    },
  ),
);
