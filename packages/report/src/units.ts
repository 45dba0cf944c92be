/** What a number measures, which decides how it is written. */
export type Unit = "bytes" | "ms" | "dB" | "percent" | "share" | "count" | "times" | "number";

const scaled = (value: number, steps: readonly (readonly [number, string])[]): string => {
  const [size, name] = steps.find(([limit]) => Math.abs(value) >= limit * 0.9995) ?? steps[steps.length - 1]!;
  const n = value / size;
  return `${Math.abs(n) >= 999.5 || size === 1 ? Math.round(n) : trim(n)} ${name}`.trim();
};

/** Three significant digits. */
const trim = (n: number): string => {
  const a = Math.abs(n);
  return n.toFixed(a >= 99.95 ? 0 : a >= 9.995 ? 1 : 2);
};

/** `12.3 MB`, decimal as download sizes are: 1 kB is 1000 bytes. */
export const formatBytes = (bytes: number): string =>
  scaled(bytes, [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
    [1, "B"],
  ]);

/** `1.31 M`, `44.7 G`. */
export const formatCount = (count: number): string =>
  Math.abs(count) < 10_000
    ? String(Math.round(count * 100) / 100)
    : scaled(count, [
        [1e12, "T"],
        [1e9, "G"],
        [1e6, "M"],
        [1e3, "k"],
      ]);

/** A number for people, with its unit. `share` is a fraction shown in percent; infinite dB means identical. */
export function formatUnit(value: number, unit: Unit): string {
  if (Number.isNaN(value)) return "-";
  switch (unit) {
    case "bytes":
      return formatBytes(value);
    case "count":
      return formatCount(value);
    case "ms":
      return Math.abs(value) >= 10_000 ? `${trim(value / 1000)} s` : `${trim(value)} ms`;
    case "dB":
      return value === Number.POSITIVE_INFINITY
        ? "identical"
        : Number.isFinite(value)
          ? `${value.toFixed(1)} dB`
          : "broken";
    case "percent":
      return `${percent(value)} %`;
    case "share":
      return `${percent(value * 100)} %`;
    case "times":
      return `${trim(value)}x`;
    case "number":
      return shortNumber(value);
    default:
      return unit satisfies never;
  }
}

/** Never rounds up to 100 what is less, nor down to 0 what is more. */
function percent(p: number): string {
  if (p === 100 || p === 0) return String(p);
  if (Math.abs(p) < 0.05) return p > 0 ? "<0.1" : ">-0.1";
  const digits = Math.abs(p) >= 99.95 && p < 100 ? 2 : 1;
  return Math.min(p, p < 100 ? 99.99 : p).toFixed(digits);
}

/** A few significant digits, in the shorter notation. */
export function shortNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  const a = Math.abs(value);
  if (a >= 1e-3 && a < 1e6) return String(Number(value.toPrecision(4)));
  return value.toExponential(2);
}
