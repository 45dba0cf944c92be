import { library } from "../../tsup.base.ts";

export default library({ cli: "src/cli.ts" });
