import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attr, graph, model, node, tensor, value } from "@pare/core";
import { openOnnx, writeOnnx } from "@pare/onnx";
import { PNG } from "pngjs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "./main.ts";
import { mlp, weight } from "./test-models.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pare-cli-test-"));
  await writeOnnx(mlp(), join(folder, "mlp.onnx"));
});
afterAll(() => rm(folder, { recursive: true }));

async function pare(...argv: string[]) {
  let out = "";
  let err = "";
  const stream = (add: (s: string) => void) => ({ write: (s: string) => add(s) });
  const code = await main(argv, {
    stdout: stream((s) => (out += s)),
    stderr: stream((s) => (err += s)),
    signal: new AbortController().signal,
    cwd: folder,
  });
  return { code, out, err };
}
const json = async (...argv: string[]) => {
  const { out, ...rest } = await pare(...argv, "--json");
  return { ...rest, document: JSON.parse(out) };
};

test("compress writes a smaller file, runs both, and says what was gained and lost", async () => {
  const { code, document: d, err } = await json("compress", "mlp.onnx", "--int8-weights", "-o", "int8.onnx");
  expect(code).toBe(0);
  const [before, after] = await Promise.all(
    ["mlp.onnx", "int8.onnx"].map(async (f) => (await stat(join(folder, f))).size),
  );
  expect(d.bytes).toMatchObject({ before, after });
  expect(d.bytes.ratio).toBeGreaterThan(3);
  expect(d.coverage).toEqual([{ pass: "int8-weights", done: 3, total: 3, share: 1, required: 0 }]);
  expect(d.samples).toBe("synthetic");
  expect(d.comparison.outputs).toHaveLength(1);
  expect(d.comparison.outputs[0].sqnrDb).toBeGreaterThan(30);
  expect(d.latency.before.medianMs).toBeGreaterThan(0);
  expect(err).toContain("compare int8.onnx");
  expect((await readdir(folder)).filter((f) => f.startsWith(".pare"))).toEqual([]);
  const written = await openOnnx(join(folder, "int8.onnx"));
  expect([...written.model.graph.weights.values()].some((t) => t.dtype === "int8")).toBe(true);
  await written.close();
});

test("a dry run writes nothing and predicts what comes to be", async () => {
  const before = await readdir(folder);
  const plan = await json(
    "compress",
    "mlp.onnx",
    "--threshold.ratio",
    "0.2",
    "--fixed-point.bits",
    "7",
    "--dry-run",
    "-o",
    "dry.onnx",
  );
  expect(plan.code).toBe(0);
  expect(await readdir(folder)).toEqual(before);
  const real = await json(
    "compress",
    "mlp.onnx",
    "--threshold.ratio",
    "0.2",
    "--fixed-point.bits",
    "7",
    "-o",
    "dry.onnx",
    "--no-latency",
  );
  expect(Math.abs(plan.document.bytes.after / real.document.bytes.after - 1)).toBeLessThan(0.02);
  expect(plan.document.diff.operators).toEqual([{ op: "DequantizeLinear", before: 0, after: 3 }]);
});

test("passes run in the order of their flags, and the option of a pass asks for it", async () => {
  const order = async (...flags: string[]) =>
    (await json("compress", "mlp.onnx", "--dry-run", ...flags)).document.report.map((p: { pass: string }) => p.pass);
  expect(await order("--threshold.ratio", "0.3", "--int8-weights")).toEqual(["threshold", "int8-weights"]);
  expect(await order("--int8-weights.granularity", "tensor", "--threshold")).toEqual(["int8-weights", "threshold"]);
});

test("wrong usage ends with 2 and a suggestion", async () => {
  expect(await pare("compres", "mlp.onnx")).toMatchObject({
    code: 2,
    err: expect.stringContaining("Did you mean compress?"),
  });
  expect(await pare("compress", "mlp.onnx", "--int8-weight")).toMatchObject({
    code: 2,
    err: expect.stringContaining("Did you mean --int8-weights?"),
  });
  expect(await pare("compress", "mlp.onnx")).toMatchObject({ code: 2, err: expect.stringContaining("say what to do") });
  expect(await pare("compress", "mlp.onnx", "--fixed-point.bits", "many")).toMatchObject({ code: 2 });
  expect(await pare("compress", "mlp.onnx", "--threshold.ratio", "-3")).toMatchObject({
    code: 2,
    err: expect.stringContaining("ratio"),
  });
  expect(await pare("compress", "mlp.onnx", "--int8-weights.granularity", "row")).toMatchObject({
    code: 2,
    err: expect.stringContaining("channel"),
  });
  expect(await pare("inspect", "mlp.onnx", "--limit", "0")).toMatchObject({ code: 2 });
  expect((await pare()).code).toBe(2);
  expect((await pare("--help")).code).toBe(0);
});

test("what cannot be read ends with 1, and says what and where", async () => {
  expect(await pare("inspect", "absent.onnx")).toMatchObject({ code: 1, err: expect.stringContaining("absent.onnx") });
  await writeFile(join(folder, "broken.onnx"), (await readFile(join(folder, "mlp.onnx"))).subarray(0, 5000));
  const { code, document, err } = await json("inspect", "broken.onnx");
  expect(code).toBe(1);
  expect(document.error.diagnostics[0]).toMatchObject({
    severity: "error",
    location: { file: expect.stringContaining("broken.onnx") },
  });
  expect(err).not.toMatch(/\n\s+at .*\.ts:\d+/);
});

test("less covered than asked ends with 3 and writes nothing", async () => {
  const run = (...flags: string[]) => pare("compress", "mlp.onnx", "-o", "no.onnx", ...flags);
  for (const flags of [
    ["--int8-weights.ops", "Conv"],
    ["--int8-weights.include", "layer0.weight,layr1.weight"],
    ["--int8-weights", "--threshold"],
    ["--int8-weights.include", "nothing*"],
  ])
    expect(await run(...flags), flags.join(" ")).toMatchObject({
      code: 3,
      err: expect.stringContaining("pare/coverage"),
    });
  expect(existsSync(join(folder, "no.onnx"))).toBe(false);
  expect(
    (await pare("compress", "mlp.onnx", "-o", "one.onnx", "--int8-weights.include", "layer1*", "--no-verify")).code,
  ).toBe(0);
});

test("a minimum of coverage is held", async () => {
  const tiny = model(
    graph({
      inputs: [value("x", "float32", ["N", 64])],
      outputs: [value("y", "float32", ["N", 1])],
      weights: new Map([
        ["big", mlp().graph.weights.get("layer0.weight")!],
        ["small", tensor("float32", [64, 1], new Float32Array(64).fill(0.1))],
        ["int", tensor("int8", [1, 1], [1])],
        ["scale", tensor("float32", [], [1])],
      ]),
      nodes: [
        node("MatMul", ["x", "big"], ["a"]),
        node("MatMul", ["a", "small"], ["b"]),
        node("DequantizeLinear", ["int", "scale"], ["w"]),
        node("MatMul", ["b", "w"], ["y"]),
      ],
    }),
  );
  await writeOnnx(tiny, join(folder, "tiny.onnx"));
  const flags = ["compress", "tiny.onnx", "-o", "tiny8.onnx", "--threshold", "--no-verify"];
  expect((await pare(...flags)).code).toBe(0);
  expect(await pare(...flags, "--min-coverage", "1")).toMatchObject({
    code: 3,
    err: expect.stringContaining("2 of 3"),
  });
  expect((await pare(...flags, "--min-coverage", "60%")).code).toBe(0);
});

test("a result whose numbers are broken ends with 4, and the old file stays", async () => {
  await writeFile(join(folder, "kept.onnx"), "old");
  const flags = ["compress", "mlp.onnx", "--threshold.ratio", "50", "-o", "kept.onnx"];
  expect(await pare(...flags, "--min-sqnr", "6")).toMatchObject({ code: 4, err: expect.stringContaining("far off") });
  expect(await readFile(join(folder, "kept.onnx"), "utf8")).toBe("old");
  // Without real inputs or a limit that was asked for, it is said but not refused.
  expect(await pare(...flags)).toMatchObject({ code: 0, err: expect.stringContaining("made-up inputs") });
  expect((await pare(...flags, "--no-verify")).code).toBe(0);
  expect(await pare("compare", "mlp.onnx", "kept.onnx")).toMatchObject({ code: 4 });
});

test("the source is not overwritten, under whatever name", async () => {
  expect(await pare("compress", "mlp.onnx", "--int8-weights", "-o", "./mlp.onnx")).toMatchObject({
    code: 1,
    err: expect.stringContaining("pare/overwrite"),
  });
});

test("results are named like transformers.js wants them, or _small", async () => {
  const name = async (...flags: string[]) =>
    (await json("compress", "mlp.onnx", "--dry-run", ...flags)).document.output.slice(folder.length + 1);
  expect(await name("--int8-weights", "--suffixes")).toBe("mlp_int8.onnx");
  expect(await name("--fixed-point.bits", "7", "--suffixes")).toBe("mlp_quantized.onnx");
  expect(await name("--threshold", "--suffixes")).toBe("mlp_small.onnx");
  expect(await name("--int8-weights")).toBe("mlp_small.onnx");
});

test("weights go beside the model on request, and come back together", async () => {
  const wide = mlp(2, 160);
  await writeOnnx(wide, join(folder, "wide.onnx"));
  const { code, document } = await json(
    "compress",
    "wide.onnx",
    "--threshold.ratio",
    "0.05",
    "--external-data",
    "-o",
    "beside/ext.onnx",
  );
  expect(code).toBe(0);
  expect(document.files.map((f: { name: string }) => f.name)).toEqual(["ext.onnx", "ext.onnx.data"]);
  const { document: found } = await json("inspect", "beside/ext.onnx");
  expect(found.bytes).toBe(document.bytes.after);
  expect((await readdir(join(folder, "beside"))).sort()).toEqual(["ext.onnx", "ext.onnx.data"]);
});

test("the result is of the opset that is asked for, or it is said why not", async () => {
  const { code } = await json("compress", "mlp.onnx", "--int8-weights", "--opset", "15", "-o", "opset15.onnx");
  expect(code).toBe(0);
  expect((await json("inspect", "opset15.onnx")).document.opsets).toMatchObject({ "ai.onnx": 15 });
  for (const wrong of ["99", "6"])
    expect((await json("compress", "mlp.onnx", "--int8-weights", "--opset", wrong)).code).not.toBe(0);
});

test("a typed configuration is loaded, and its mistakes are told", async () => {
  const place = join(folder, "configured");
  await mkdir(place);
  await writeFile(
    join(place, "pare.config.ts"),
    `interface Named { readonly name: string }
     const halve = { name: "halve", apiVersion: 1, options: {}, needs: [], run: (m: Named) => ({ ...m, metadata: new Map([["halved", "yes"]]) }) } satisfies Named & object;
     export default { input: "../mlp.onnx", passes: [halve], output: "../configured.onnx", latency: false };`,
  );
  const run = (...argv: string[]) =>
    main(argv, {
      stdout: { write() {} },
      stderr: { write: (s: string) => (said += s) },
      signal: new AbortController().signal,
      cwd: place,
    });
  let said = "";
  expect(await run("compress"), said).toBe(0);
  const { document } = await json("inspect", "configured.onnx");
  expect(document.metadata).toEqual({ halved: "yes" });
  await writeFile(join(place, "pare.config.mjs"), `export default { pases: [] };`);
  expect(await run("compress", "--config", "pare.config.mjs")).toBe(1);
  expect(said).toContain("unknown keys: pases");
});

const npy = (shape: readonly number[], data: Float32Array | Float64Array | BigInt64Array) => {
  const kind = data instanceof Float32Array ? "<f4" : data instanceof Float64Array ? "<f8" : "<i8";
  const header = `${`{'descr': '${kind}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`.padEnd(
    117,
  )}\n`;
  const head = Buffer.concat([
    Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]),
    Buffer.from(header),
  ]);
  return Buffer.concat([head, Buffer.from(data.buffer as ArrayBuffer)]);
};

test("samples come from a file of numpy, or a folder of them", async () => {
  await writeFile(
    join(folder, "five.npy"),
    npy(
      [5, 64],
      new Float64Array(320).map((_, i) => Math.sin(i)),
    ),
  );
  const compare = async (...argv: string[]) => (await json("compare", "mlp.onnx", "mlp.onnx", ...argv)).document;
  expect(await compare("--samples", "five.npy")).toMatchObject({
    samples: 5,
    samplesKind: "given",
    outputs: [{ identical: true, sqnrDb: null }],
  });
  await mkdir(join(folder, "inputs"));
  await writeFile(join(folder, "inputs", "x.npy"), npy([3, 2, 64], new Float32Array(384)));
  expect(await compare("--samples", "inputs")).toMatchObject({ samples: 3 });
  await writeFile(join(folder, "bad.npy"), npy([5, 1, 1, 64], new Float32Array(320)));
  expect(await pare("compare", "mlp.onnx", "mlp.onnx", "--samples", "bad.npy")).toMatchObject({
    code: 1,
    err: expect.stringContaining("[5,1,1,64]"),
  });
});

test("samples come from images, IDX files and several arrays in one file; how images were prepared is written down", async () => {
  const shape = ["N", 3, 4, 4];
  const image = model(
    graph({
      inputs: [value("image", "float32", shape)],
      outputs: [value("y", "float32", shape)],
      weights: new Map([["w", weight([3, 3, 1, 1], 4)]]),
      nodes: [node("Conv", ["image", "w"], ["y"])],
    }),
  );
  await writeOnnx(image, join(folder, "image.onnx"));
  await mkdir(join(folder, "photos"));
  for (const name of ["a", "b"]) {
    const png = new PNG({ width: 6, height: 5 });
    png.data.forEach((_, i) => void (png.data[i] = i % 4 === 3 ? 255 : (i * 7 + name.charCodeAt(0)) % 256));
    await writeFile(join(folder, "photos", `${name}.png`), PNG.sync.write(png));
  }
  const flags = ["compress", "image.onnx", "--int8", "--no-latency", "-o", "images8.onnx", "--samples"];
  const { document } = await json(...flags, "photos", "--image-mean", "0.5", "--image-std", "0.5");
  expect(document.comparison.samples).toBe(2);
  const written = await openOnnx(join(folder, "images8.onnx"));
  expect(JSON.parse(written.model.metadata.get("pare.preprocessing")!)).toMatchObject({
    size: [4, 4],
    mean: [0.5],
    std: [0.5],
    layout: "NCHW",
    fit: "cover",
  });
  await written.close();

  // IDX: two zeros, float32, 4 dimensions, all big-endian.
  const idx = Buffer.alloc(4 + 16 + 4 * 96);
  idx.set([0, 0, 0x0d, 4]);
  [2, 3, 4, 4].forEach((d, i) => void idx.writeUInt32BE(d, 4 + 4 * i));
  for (let i = 0; i < 96; i++) idx.writeFloatBE(Math.sin(i), 20 + 4 * i);
  await writeFile(join(folder, "two.idx"), idx);
  expect((await json(...flags, "two.idx")).document.comparison.samples).toBe(2);
  expect(await pare(...flags, "two.idx", "--image-mean", "0.5")).toMatchObject({
    code: 1,
    err: expect.stringContaining("not for them"),
  });
  await writeFile(join(folder, "flat.npy"), npy([2, 3, 4, 4], new Float32Array(96).fill(3)));
  expect(await pare(...flags, "flat.npy")).toMatchObject({
    code: 1,
    err: expect.stringContaining("the samples of image: it is 3 everywhere"),
  });
});

test("int8 is calibrated with the samples that are given, for the target that is named, and asks for them", async () => {
  const data = new Float32Array(8 * 64).map((_, i) => Math.sin(i));
  await writeFile(join(folder, "calibrate.npy"), npy([8, 64], data));
  const flags = ["--equalize", "--int8", "--target", "ort-arm", "-o", "static.onnx"];
  const { document } = await json("compress", "mlp.onnx", ...flags, "--samples", "calibrate.npy");
  expect(document.coverage.at(-1)).toMatchObject({ pass: "int8", done: 3 });
  expect(document.comparison.outputs[0].sqnrDb).toBeGreaterThan(25);
  expect((await json("inspect", "static.onnx")).document.operators.map((o: { op: string }) => o.op)).toContain(
    "QuantizeLinear",
  );
  expect(document.layers.map((l: { layer: string }) => l.layer).sort()).toEqual(["m0", "m1", "m2"]);
  expect(document.layers[0].aloneDb).toBeLessThan(document.layers[2].aloneDb);
  expect(document.layers[0]).toMatchObject({ op: "MatMul", saturation: 0, accumulatedDb: expect.any(Number) });
  expect(await pare("compress", "mlp.onnx", ...flags)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/int8 needs samples[\s\S]*--samples/),
  });
  expect(await pare("compress", "mlp.onnx", "--int8", "--target", "abacus")).toMatchObject({ code: 2 });
});

test("statistics are kept in a folder that is named, and it is said what was reused", async () => {
  await writeFile(
    join(folder, "kept.npy"),
    npy(
      [4, 64],
      Float32Array.from({ length: 256 }, (_, i) => Math.cos(i)),
    ),
  );
  const explained = async (...flags: string[]) => {
    const common = ["--int8", "--no-latency", "--explain-cache", "--samples", "kept.npy", "-o", "kept.onnx"];
    const { code, err } = await pare("compress", "mlp.onnx", ...common, ...flags);
    expect(code).toBe(0);
    return err.split("\n").filter((line) => line.startsWith("cache: "));
  };
  expect(await explained()).toEqual(["cache: none; give a folder with --cache"]);
  const cache = ["--cache", "cache"];
  const [first] = await explained(...cache);
  expect(first).toMatch(/^cache: 0 of \d+ statistics reused; this model and these samples are new$/);
  expect((await explained(...cache))[0]).toMatch(/^cache: (\d+) of \1 statistics reused; /);
  expect((await explained(...cache, "--int8.calibration", "mse"))[0]).toMatch(/not asked for before: histogram of/);
});

test("within a drop as much becomes integers as the metric allows, judged on samples that were kept back", async () => {
  const data = new Float32Array(24 * 64).map((_, i) => Math.sin(i * i));
  await writeFile(join(folder, "many.npy"), npy([24, 64], data));
  const flags = ["mlp.onnx", "-o", "within.onnx", "--samples", "many.npy", "--no-latency"];
  const { document } = await json("compress", ...flags, "--max-drop", "1");
  expect(document.search).toMatchObject({ metric: "cosine", within: true, held: { samples: 12 } });
  expect(document.search.held.drop).toBeLessThan(1);
  expect(document.search.layers).toHaveLength(3);
  expect(document.bytes.ratio).toBeGreaterThan(2.5);
  const { out } = await pare("compress", ...flags, "--max-drop", "1", "--metric", "top-1", "--html", "within.html");
  expect(out).toMatch(/Layers by what quantizing them alone does[\s\S]*SQNR alone/);
  const page = await readFile(join(folder, "within.html"), "utf8");
  for (const part of ["What quantization did to each layer", "Distribution of m0", "Trials of the search"])
    expect(page).toContain(part);
  expect(out).toMatch(/trial 1: .*top-1 falls by[\s\S]*12 samples that were kept back/);
  // Passes that find nothing to do do not keep the search from its work.
  await pare("compress", "mlp.onnx", "-o", "plain.onnx", "--optimize");
  const plain = ["plain.onnx", "-o", "searched.onnx", "--optimize", ...flags.slice(3)];
  expect((await pare("compress", ...plain, "--max-drop", "99")).code).toBe(0);
  expect(await pare("compress", ...flags, "--max-drop", "-1")).toMatchObject({
    code: 1,
    err: expect.stringContaining("within a drop of -1"),
  });
  expect(await pare("compress", "mlp.onnx", "--max-drop", "1")).toMatchObject({
    code: 1,
    err: expect.stringContaining("needs samples"),
  });
}, 120_000);

test("dimensions are fixed by a symbol or for a whole input, and the result is tried with that size", async () => {
  const symbol = await json("compress", "mlp.onnx", "--fix-shapes", "N=3", "-o", "three.onnx", "--no-latency");
  expect(symbol.code).toBe(0);
  const whole = await json("compress", "mlp.onnx", "--fix-shapes", "x=3,64", "-o", "three.onnx", "--no-latency");
  expect(whole.code).toBe(0);
  const { model, close } = await openOnnx(join(folder, "three.onnx"));
  expect([...model.graph.inputs, ...model.graph.outputs].map((v) => v.type)).toEqual([
    { kind: "tensor", dtype: "float32", shape: [3, 64] },
    { kind: "tensor", dtype: "float32", shape: [3, 64] },
  ]);
  await close();
  const wrong = await pare("compress", "mlp.onnx", "--fix-shapes", "M=3");
  expect(wrong.code).not.toBe(0);
  expect(wrong.err).toContain("no input has a dimension M: there is N");
  expect((await pare("compress", "mlp.onnx", "--fix-shapes", "N")).err).toContain("It is written --fix-shapes N=1");
});

test("inspect tells what a model is", async () => {
  const { document: d } = await json("inspect", "mlp.onnx");
  expect(d).toMatchObject({
    name: "mlp.onnx",
    nodes: 7,
    parameters: 3 * 64 * 64,
    inputs: [{ name: "x", type: "float32 [N, 64]" }],
  });
  expect(d.operators[0]).toMatchObject({ op: "MatMul", count: 3 });
  expect(d.cost.macs).toBe(3 * 64 * 64);
  expect(d.weights.bytes).toBe(3 * 64 * 64 * 4);
  const { out } = await pare("inspect", "mlp.onnx");
  expect(out).toMatch(/Where the bytes are[\s\S]*MatMul\s+3\s+49\.2 kB\s+100 %/);
});

test("compare ranks inner values, shows the graph diff, and writes a page", async () => {
  await pare("compress", "mlp.onnx", "--int8-weights", "-o", "int8.onnx", "--no-verify");
  const { out, code } = await pare("compare", "mlp.onnx", "int8.onnx", "--all", "--html", "page.html");
  expect(code).toBe(0);
  expect(out).toMatch(/Mul\s+0\s+3\s+\+3/);
  expect(out).toMatch(/Inner values, worst first[\s\S]*MatMul/);
  expect(await readFile(join(folder, "page.html"), "utf8")).toMatch(
    /^<!doctype html>[\s\S]*int8\.onnx against mlp\.onnx/,
  );
  expect((await pare("compare", "mlp.onnx", "mlp.onnx", "--diff")).out).toBe("The graphs are the same.\n");
});

test("compress writes a page too", async () => {
  expect(
    (await pare("compress", "mlp.onnx", "--int8-weights", "-o", "int8.onnx", "--html", "report.html", "--no-latency"))
      .code,
  ).toBe(0);
  const page = await readFile(join(folder, "report.html"), "utf8");
  expect(page).toMatch(/What each pass did[\s\S]*3 of 3 done/);
});

test("bench measures, and quiet is quiet", async () => {
  const { code, document, err } = await json("bench", "mlp.onnx", "--seconds", "1", "--threads", "1,2", "-q");
  expect(code).toBe(0);
  expect(err).toBe("");
  expect(document.runs.map((r: { threads: number }) => r.threads)).toEqual([1, 2]);
  expect(document.runs[0].medianMs).toBeGreaterThan(0);
  expect(document.inputs).toEqual({ x: { dtype: "float32", shape: [1, 64] } });
});

test("made-up inputs that do not suit a model are said to be why", async () => {
  const picky = model(
    graph({
      inputs: [value("x", "float32", ["N", "M"])],
      outputs: [value("y", "float32", ["N", 64])],
      weights: mlp(1).graph.weights,
      nodes: [node("MatMul", ["x", "layer0.weight"], ["a"]), node("Softmax", ["a"], ["y"], { axis: attr.int(-1) })],
    }),
  );
  await writeOnnx(picky, join(folder, "picky.onnx"));
  const flags = ["compress", "picky.onnx", "--int8-weights", "-o", "picky8.onnx", "--no-latency"];
  expect(await pare(...flags)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/made up \(x float32 \[1, 512\]\)/),
  });
  expect((await pare(...flags, "--shape", "x=2,64")).code).toBe(0);
});

test("blocks of 4 bits are written in the target's operator, and single layers are meant by a list in JSON", async () => {
  const blocks = await json("compress", "mlp.onnx", "--block-weights.bits", "4", "-o", "blocks.onnx", "--no-verify");
  expect(blocks.code).toBe(0);
  const written = await openOnnx(join(folder, "blocks.onnx"));
  expect(written.model.graph.nodes.map((n) => n.op)).toContain("MatMulNBits");
  await written.close();
  const flags = ["compress", "mlp.onnx", "-o", "some.onnx", "--int8.overrides"];
  expect((await pare(...flags, "names=layer0*")).err).toContain(
    '--int8.overrides is "names=layer0*", and should be JSON',
  );
  expect((await pare(...flags, '{"names":["layer0*"],"bit":4}')).err).toContain("overrides: 0: ");
});
