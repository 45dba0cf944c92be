import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

export default defineConfig(
  library(
    { index: "src/index.ts", "index.node": "src/index.node.ts", child: "src/child.ts" },
    { removeNodeProtocol: false, dts: { entry: { index: "src/index.ts", "index.node": "src/index.node.ts" } } },
  ),
);
