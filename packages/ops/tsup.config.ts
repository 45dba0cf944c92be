import { defineConfig } from "tsup";
import { library } from "../../tsup.base.ts";

export default defineConfig(library({ index: "src/index.ts", schema: "src/schema.ts", infer: "src/infer.ts", cost: "src/cost.ts", evaluate: "src/evaluate.ts", numeric: "src/numeric.ts" }));
