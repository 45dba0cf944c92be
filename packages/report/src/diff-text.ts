import { type GraphDiff, type NodeRef, sameGraphs } from "./diff.ts";
import { oneLine, table, textTable } from "./table.ts";

/** A graph diff as text: what callers notice first, then operators, weights and nodes, `limit` lines of each (default 20). */
export function formatDiff(d: GraphDiff, { limit = 20 }: { readonly limit?: number } = {}): string {
  if (sameGraphs(d)) return "The graphs are the same.";
  const parts: string[] = [];
  const section = (title: string, lines: readonly string[]) => {
    if (lines.length === 0) return;
    const more = lines.length - limit;
    const shown = lines.slice(0, limit).map((l) => `  ${oneLine(l)}`);
    parts.push([title, ...shown, ...(more > 0 ? [`  … and ${more} more`] : [])].join("\n"));
  };
  section(
    "! Inputs or outputs changed: callers of the model must change too",
    d.interface.map((c) => `${c.kind} ${c.position}: ${c.before || "none"}  ->  ${c.after || "none"}`),
  );
  section(
    "Opsets",
    d.opsets.map((o) => `${o.domain || "ai.onnx"}: ${o.before ?? "none"} -> ${o.after ?? "none"}`),
  );
  if (d.operators.length > 0) {
    const rows = d.operators.map((o) => ({ ...o, change: signed(o.after - o.before) }));
    const columns = [{ key: "op", title: "operator" }, "before", "after", { key: "change", align: "right" as const }];
    parts.push(
      `Operators (${d.nodes.before} -> ${d.nodes.after} nodes)\n${textTable(table(columns, rows.slice(0, limit)), { indent: "  " })}`,
    );
    if (rows.length > limit) parts.push(`  … and ${rows.length - limit} more`);
  }
  section(
    `Weights (${d.weights.length} changed)`,
    d.weights.map((w) => `${w.name}: ${w.before || "none"}  ->  ${w.after || "none"}`),
  );
  const names = (list: readonly NodeRef[]) => list.map((n) => `${n.op} ${n.graph ? `${n.graph}/` : ""}${n.name}`);
  section(`Nodes removed (${d.removed.length})`, names(d.removed));
  section(`Nodes added (${d.added.length})`, names(d.added));
  section(
    `Nodes changed (${d.changed.length})`,
    d.changed.map((n) => `${names([n])[0]}: ${n.changes.join("; ")}`),
  );
  section("Metadata changed", d.metadata);
  return parts.join("\n\n");
}

const signed = (n: number) => (n > 0 ? `+${n}` : String(n));
