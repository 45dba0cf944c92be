import { gunzipSync, gzipSync } from "node:zlib";
import { attr, definePass, edit, graph, memorySource, model, node, run, tensor, value } from "@pare/core";
import { expect, test } from "vitest";
import { diffGraphs, sameGraphs } from "./diff.ts";
import { formatDiff } from "./diff-text.ts";
import { differences } from "./differences.ts";
import { htmlReport } from "./html.ts";
import { measureReport } from "./measure-report.ts";
import { gzipSize, sizeOf } from "./size.ts";
import { jsonRows, markdownTable, table, textTable } from "./table.ts";
import { formatBytes, formatUnit } from "./units.ts";

test("numbers are written with their units and never rounded up to perfect", () => {
  expect([0, 999, 1000, 999_960, 12_345_678, 4.2e9].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.00 MB",
    "12.3 MB",
    "4.20 GB",
  ]);
  expect([1, 0.9996, 0.99999, 0.975, 0].map((v) => formatUnit(v, "share"))).toEqual([
    "100 %",
    "99.96 %",
    "99.99 %",
    "97.5 %",
    "0 %",
  ]);
  expect([Number.POSITIVE_INFINITY, 41.26, Number.NEGATIVE_INFINITY].map((v) => formatUnit(v, "dB"))).toEqual([
    "identical",
    "41.3 dB",
    "broken",
  ]);
});

test("a table is aligned text, Markdown and JSON, and control characters cannot leave their cell", () => {
  const t = table(
    ["name", { key: "size", unit: "bytes" }, { key: "dB", unit: "dB" }],
    [
      { name: "a\u001b[2J|b\n", size: 1500, dB: Number.POSITIVE_INFINITY },
      { name: "字", size: 12, dB: 7 },
    ],
  );
  expect(textTable(t)).toBe(
    "name         size         dB\n--------  -------  ---------\na\ufffd[2J|b\ufffd  1.50 kB  identical\n字           12 B     7.0 dB",
  );
  expect(markdownTable(t).split("\n")[2]).toBe("| a\ufffd\\[2J\\|b\ufffd | 1.50 kB | identical |");
  expect(jsonRows(t)[0]).toEqual({ name: "a\u001b[2J|b\n", size: 1500, dB: null });
});

const evil = `"><script>alert(1)</script>\u202e`;

test("nothing of a name gets out of its place in the page", () => {
  const v = {
    name: evil,
    kind: "inner" as const,
    op: evil,
    position: 0,
    dtypes: ["float32", "float32"] as const,
    shapes: [[1], [1]] as const,
    elements: 1,
    sqnrDb: 3,
    maxAbsError: 1,
    maxRelativeError: 1,
    cosine: 1,
    rangeA: [0, 1] as const,
    rangeB: [0, 1] as const,
    notFiniteA: 0,
    notFiniteB: 0,
    broken: 0,
    equalShare: 0,
  };
  const jump = { name: evil, op: evil, sqnrDb: 3, before: 40 };
  const page = htmlReport({
    title: evil,
    subtitle: evil,
    sections: [
      { kind: "heading", title: evil, text: evil },
      { kind: "heading", title: "two" },
      { kind: "text", title: evil, text: [evil] },
      { kind: "figures", items: [{ label: evil, value: evil, note: evil }] },
      { kind: "table", title: evil, note: evil, table: table([{ key: "a", title: evil }], [{ a: evil }]) },
      { kind: "bars", unit: "bytes", series: [evil], groups: [{ label: evil, values: [1], notes: [evil] }] },
      {
        kind: "errors",
        comparison: { reference: evil, other: evil, samples: 1, values: [v], outputs: [], jump, notes: [evil] },
      },
      { kind: "histogram", series: [{ label: evil, counts: [1, 2], from: 0, to: 1 }] },
      {
        kind: "pictures",
        pictures: [
          {
            src: "data:image/png;base64,AA",
            alt: evil,
            caption: evil,
            readings: [
              { label: evil, text: evil },
              { label: "b", text: "x" },
            ],
          },
        ],
      },
      {
        kind: "passes",
        passes: [
          {
            pass: evil,
            options: { a: evil },
            milliseconds: 1,
            changed: true,
            done: [{ name: evil, ops: [evil], facts: { [evil]: evil } }],
            skipped: [{ name: evil, ops: [], reason: evil }],
            diagnostics: [{ code: "a/b", severity: "warning", message: evil }],
          },
        ],
      },
    ],
  });
  expect(page).not.toMatch(/<script|\u202e|"">|javascript:/i);
  expect(page.match(/&lt;script&gt;alert/g)!.length).toBeGreaterThan(25);
  expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
  expect(() =>
    htmlReport({ title: "x", sections: [{ kind: "pictures", pictures: [{ src: "https://x/y.png", alt: "" }] }] }),
  ).toThrow(/report\/picture/);
});

test("drawings have titles, and what a drawing shows stands in text too", () => {
  const page = htmlReport({
    title: "t",
    sections: [
      {
        kind: "bars",
        unit: "bytes",
        series: ["source", "int8"],
        groups: [{ label: "m", values: [2e6, 5e5], notes: [undefined, "4.0x smaller"] }],
      },
      { kind: "histogram", series: [{ label: "w", counts: [1, 3], from: -1, to: 1 }] },
    ],
  });
  expect(page).toMatch(/2\.00 MB[\s\S]*500 kB[\s\S]*4\.0x smaller/);
  for (const [svg] of page.matchAll(/<svg[\s\S]*?<\/svg>/g))
    expect(svg).toMatch(/aria-hidden="true"|<title>.+<\/title>/);
});

test("differences of readings put together give both texts", () => {
  for (const [a, b] of [
    ["Total: 38,90", "Tota1: 38.90"],
    ["", "x"],
    ["abc", ""],
    ["字体测试", "字测试!"],
    ["same", "same"],
  ] as const) {
    const d = differences(a, b);
    expect(
      d
        .filter((p) => p.kind !== "added")
        .map((p) => p.text)
        .join(""),
    ).toBe(a);
    expect(
      d
        .filter((p) => p.kind !== "missing")
        .map((p) => p.text)
        .join(""),
    ).toBe(b);
  }
  expect(differences("abcd", "abxd").map((p) => p.kind)).toEqual(["same", "missing", "added", "same"]);
});

const small = (dtype: "float32" | "int8", out = "y") =>
  model(
    graph({
      inputs: [value("x", "float32", ["N", 4])],
      outputs: [value(out, "float32", ["N", 2])],
      weights: new Map([
        [dtype === "int8" ? "w_q" : "w", tensor(dtype, [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])],
        ...(dtype === "int8" ? [["s", tensor("float32", [], [1])] as const] : []),
      ]),
      nodes: [
        ...(dtype === "int8" ? [node("DequantizeLinear", ["w_q", "s"], ["w"])] : []),
        node("MatMul", ["x", "w"], ["h"]),
        node("Softmax", ["h"], [out], { axis: attr.int(dtype === "int8" ? -1 : 1) }, { name: "head" }),
      ],
    }),
    dtype === "int8" ? { opsets: new Map([["", 21]]) } : {},
  );

test("a graph diff tells operators, nodes, weights, opsets and what callers notice", () => {
  const d = diffGraphs(small("float32"), small("int8", "z"));
  expect(d.operators).toEqual([{ op: "DequantizeLinear", before: 0, after: 1 }]);
  expect(d.added).toEqual([{ graph: "", name: "w", op: "DequantizeLinear" }]);
  expect(d.changed).toEqual([
    { graph: "", name: "head", op: "Softmax", changes: ["outputs (y) became (z)", "axis: 1 became -1"] },
  ]);
  expect(d.weights).toEqual([
    { name: "w", before: "float32 [4,2]", after: "computed by DequantizeLinear" },
    { name: "w_q", before: "", after: "int8 [4,2]" },
    { name: "s", before: "", after: "float32 []" },
  ]);
  expect(d.interface).toEqual([
    { kind: "output", position: 0, before: "y: float32 [N, 2]", after: "z: float32 [N, 2]" },
  ]);
  expect(d.opsets).toEqual([{ domain: "", before: 27, after: 21 }]);
  expect(formatDiff(d).split("\n")[0]).toMatch(/^! Inputs or outputs changed/);
  expect(sameGraphs(diffGraphs(small("float32"), small("float32")))).toBe(true);
});

test("bytes are counted where the weights are, for the operators they work in", () => {
  const s = sizeOf(small("int8"));
  expect(s).toMatchObject({ byteLength: 12, parameters: 9 });
  expect(s.tensors[0]).toMatchObject({ name: "w_q", op: "MatMul", dtype: "int8", byteLength: 8 });
  expect(s.byDtype.map((d) => [d.name, d.byteLength])).toEqual([
    ["int8", 8],
    ["float32", 4],
  ]);
});

test("the gzip size is that of zlib", async () => {
  const bytes = new Uint8Array(3 << 20).map((_, i) => (i * i) % 251);
  const size = await gzipSize([memorySource(bytes)]);
  expect(gunzipSync(gzipSync(bytes))).toHaveLength(bytes.length);
  expect(Math.abs(size - gzipSync(bytes).byteLength)).toBeLessThan(100);
});

test("facts that read weights are measured once asked", async () => {
  const count = definePass({
    name: "count",
    apiVersion: 1,
    run: (m, _, ctx) =>
      edit(m, (e) => {
        for (const w of e.weights()) ctx.done(w, { first: async () => (await w.tensor.read())[0]!, kind: "test" });
      }),
  });
  const { report } = await run(count(), small("int8"));
  const [pass] = await measureReport(report);
  expect(pass!.done.map((d) => d.facts)).toEqual([
    { first: 1, kind: "test" },
    { first: 0, kind: "test" },
  ]);
});
