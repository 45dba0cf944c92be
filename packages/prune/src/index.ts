export { sparsityOf, threshold } from "./threshold.ts";
