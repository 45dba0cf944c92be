export { type CodeFormat, codeFormats, minMax, type Ranges, type Runs, toCodes } from "./kernels/groups.ts";
export { toHalf, zeroBelow } from "./kernels/maps.ts";
export {
  absSum,
  countZeros,
  type FixedStatistics,
  fixedStatistics,
  type HalfStatistics,
  halfStatistics,
} from "./kernels/statistics.ts";
