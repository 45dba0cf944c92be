export { type CompareOptions, type Comparison, compare, type Subject, type ValueComparison } from "./compare.ts";
export {
  countOperators,
  diffGraphs,
  type GraphDiff,
  type InterfaceChange,
  type NodeRef,
  sameGraphs,
  typeText,
  type WeightChange,
} from "./diff.ts";
export { formatDiff } from "./diff-text.ts";
export { type Difference, differences } from "./differences.ts";
export { htmlReport, type PageOptions } from "./html.ts";
export type { Jump } from "./jump.ts";
export { type MeasuredEntry, type MeasuredPass, measureReport } from "./measure-report.ts";
export { nodeCount } from "./node-count.ts";
export { fitInputs } from "./pairs.ts";
export type * from "./sections.ts";
export { gzipSize, type Share, type SizeReport, sizeOf, type TensorSize } from "./size.ts";
export type { ErrorFigures } from "./sums.ts";
export {
  type Cell,
  type Column,
  jsonRows,
  markdownTable,
  oneLine,
  type Row,
  shorten,
  type Table,
  table,
  textTable,
} from "./table.ts";
export { formatBytes, formatCount, formatUnit, shortNumber, type Unit } from "./units.ts";
