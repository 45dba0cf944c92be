import { library } from "../../tsup.base.ts";

export default library({ child: "src/child.ts" });
