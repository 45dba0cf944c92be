import { resolve } from "node:path";
import { formatBytes, formatCount, oneLine, shorten, table, textTable } from "@pare/report";
import { type Command, Option } from "commander";
import { openInput } from "../input.ts";
import { type Inspection, inspect } from "../inspect.ts";
import type { Io } from "../io.ts";
import { writeDiagnostics } from "./errors.ts";
import { type CommonOptions, count, shape, withCommon } from "./options.ts";

interface Options extends CommonOptions {
  readonly limit: number;
  readonly shape?: ReadonlyMap<string, readonly number[]>;
}

export function build(command: Command, io: Io): void {
  command
    .argument("<model>", "path of an ONNX or TFLite model")
    .addOption(new Option("--limit <n>", "how many operators and weights to list").argParser(count).default(10))
    .option("--shape <input=1,3,224,224>", "size of an input whose dimensions are free, for the MACs", shape);
  withCommon(command).action(async (path: string, options: Options) => {
    const input = await openInput(resolve(io.cwd, path), io.signal);
    try {
      const found = inspect(input, { limit: options.limit, ...(options.shape ? { shapes: options.shape } : {}) });
      io.stdout.write(options.json ? `${JSON.stringify(found)}\n` : text(found, options.limit));
      if (!options.quiet) writeDiagnostics(found.diagnostics, io);
    } finally {
      await input.close();
    }
  });
}

function text(m: Inspection, limit: number): string {
  const { weights, cost } = m;
  const opsets = Object.entries(m.opsets).map(([domain, v]) => `${oneLine(domain)} ${v}`);
  const head: [string, string][] = [
    ["size", `${formatBytes(m.bytes)}, ${formatBytes(weights.bytes)} of it weights`],
    ["opset", `${opsets.join(", ")}${m.irVersion === undefined ? "" : ` (IR version ${m.irVersion})`}`],
    ...(m.producer ? [["producer", oneLine(m.producer)] as [string, string]] : []),
    [
      "nodes",
      `${m.nodes}${m.subgraphs.length > 0 ? `, ${m.subgraphs.length} subgraphs` : ""}${m.functions.length > 0 ? `, ${m.functions.length} functions` : ""}`,
    ],
    ["parameters", formatCount(m.parameters)],
    [
      "MACs",
      `${formatCount(cost.macs)} a run${cost.assumed ? ` with ${cost.assumed}` : ""}${cost.unknown > 0 ? `; not known of ${cost.unknown} nodes` : ""}`,
    ],
  ];
  const width = Math.max(...head.map(([k]) => k.length));
  const values = (list: readonly { readonly name: string; readonly type: string; readonly hasDefault?: boolean }[]) =>
    list.map((v) => `  ${oneLine(v.name)}  ${v.type}${v.hasDefault ? "  (has a default)" : ""}`).join("\n");
  const bytes = { key: "byteLength", title: "bytes", unit: "bytes" as const };
  const share = { key: "share", unit: "share" as const };
  const withShare = <T extends { readonly byteLength: number }>(list: readonly T[]) =>
    list.map((s) => ({ ...s, share: weights.bytes === 0 ? 0 : s.byteLength / weights.bytes }));
  const more = (n: number) => (n > limit ? `\n  … and ${n - limit} more` : "");
  const part = (title: string, body: string) => `${title}\n${body}`;
  const indent = { indent: "  " };
  const metadata = Object.entries(m.metadata);
  return `${[
    `${oneLine(m.name)}\n${head.map(([k, v]) => `  ${k.padEnd(width)}  ${v}`).join("\n")}`,
    part("Inputs", values(m.inputs)),
    part("Outputs", values(m.outputs)),
    part(
      "Operators",
      textTable(
        table(
          [{ key: "op", title: "operator" }, { key: "count" }, { key: "macs", title: "MACs", unit: "count" }],
          m.operators.slice(0, limit).map((o) => ({ ...o, macs: o.macs || undefined })),
        ),
        indent,
      ) + more(m.operators.length),
    ),
    part(
      "Number formats of weights",
      textTable(
        table(
          [{ key: "name", title: "format" }, { key: "tensors" }, { key: "elements", unit: "count" }, bytes, share],
          withShare(weights.byFormat),
        ),
        indent,
      ),
    ),
    part(
      "Where the bytes are",
      textTable(
        table(
          [{ key: "name", title: "operator" }, { key: "tensors" }, bytes, share],
          withShare(weights.byOperator.slice(0, limit)),
        ),
        indent,
      ) + more(weights.byOperator.length),
    ),
    part(
      "Largest weights",
      textTable(
        table(
          [{ key: "name", width: 44 }, { key: "op", title: "operator" }, { key: "type" }, bytes, share],
          withShare(weights.largest).map((t) => ({ ...t, type: `${t.dtype} [${t.shape.join(", ")}]` })),
        ),
        indent,
      ),
    ),
    ...(m.subgraphs.length > 0
      ? [
          part(
            "Subgraphs",
            `${m.subgraphs
              .slice(0, limit)
              .map((s) => `  ${oneLine(s)}`)
              .join("\n")}${more(m.subgraphs.length)}`,
          ),
        ]
      : []),
    ...(metadata.length > 0
      ? [
          part(
            "Metadata",
            `${metadata
              .slice(0, limit)
              .map(([k, v]) => `  ${oneLine(k)}: ${shorten(oneLine(v), 80)}`)
              .join("\n")}${more(metadata.length)}`,
          ),
        ]
      : []),
  ].join("\n\n")}\n`;
}
