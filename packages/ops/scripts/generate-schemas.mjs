// Makes src/schema/table.gen.ts from a dump of the schemas of the Python package onnx (1.22):
//
//   node scripts/generate-schemas.mjs schemas.json
//
// where schemas.json comes from
//
//   import onnx, json
//   from onnx import defs
//   p = lambda q: dict(name=q.name, type=q.type_str, option=q.option.name, homogeneous=q.is_homogeneous, min=q.min_arity)
//   json.dump([dict(
//       name=s.name, since=s.since_version, deprecated=s.deprecated, function=bool(s.has_function or s.has_context_dependent_function),
//       min_in=s.min_input, max_in=s.max_input, min_out=s.min_output, max_out=s.max_output,
//       inputs=[p(q) for q in s.inputs], outputs=[p(q) for q in s.outputs],
//       attributes=[dict(name=a.name, type=a.type.name, required=a.required,
//           default=onnx.helper.get_attribute_value(a.default_value) if a.default_value.name else None) for a in s.attributes.values()],
//       constraints=[dict(name=c.type_param_str, types=list(c.allowed_type_strs)) for c in s.type_constraints],
//     ) for s in defs.get_all_schemas_with_history() if s.domain == ""],
//     open("schemas.json", "w"), default=lambda b: b.decode())
//
// The grammar of the table is described in src/schema/table.ts, which reads it.
import { readFileSync, writeFileSync } from "node:fs";

const schemas = JSON.parse(readFileSync(process.argv[2], "utf8"));
// The numbers of element types, of which the schemas call two otherwise.
const table = readFileSync(new URL("../src/dtype-codes.ts", import.meta.url), "utf8");
const names = [...table.matchAll(/^ {2}"(\w+)",$/gm)].map(([, name]) =>
  name.replace(/^float32$/, "float").replace(/^float64$/, "double"),
);
const digit = (name) => {
  const at = names.indexOf(name);
  if (at < 0) throw new Error(`unknown element type ${name}`);
  return (at + 1).toString(36);
};
const kinds = [
  ["t", /^tensor\((.*)\)$/],
  ["s", /^seq\(tensor\((.*)\)\)$/],
  ["o", /^optional\(tensor\((.*)\)\)$/],
  ["q", /^optional\(seq\(tensor\((.*)\)\)\)$/],
];
const pool = new Map();
const intern = (text) => {
  if (!pool.has(text)) pool.set(text, pool.size.toString(36));
  return pool.get(text);
};
const typeSet = (types) =>
  kinds
    .map(([letter, pattern]) => {
      const digits = types
        .flatMap((t) => pattern.exec(t)?.slice(1).map(digit) ?? [])
        .sort()
        .join("");
      return digits && letter + digits;
    })
    .filter(Boolean)
    .join(".");
const parameter = ({ name, type, option, homogeneous, min }) => {
  const fixed = /^tensor\((.*)\)$/.exec(type);
  const mark = { Single: "", Optional: "?", Variadic: homogeneous ? `*${min}` : `+${min}` }[option];
  return `${name}:${fixed ? `=${digit(fixed[1])}` : type}${mark}`;
};
const codes = { FLOAT: "f", INT: "i", STRING: "s", TENSOR: "t", GRAPH: "g", SPARSE_TENSOR: "p", TYPE_PROTO: "y" };
const shortest = (x) => {
  for (let digits = 1; ; digits++)
    if (Math.fround(Number(x.toPrecision(digits))) === Math.fround(x)) return Number(x.toPrecision(digits));
};
const attribute = ({ name, type, required, default: value }) => {
  const many = type.endsWith("S") && codes[type.slice(0, -1)];
  const code = many ? many.toUpperCase() : codes[type];
  if (!code) throw new Error(`unknown attribute type ${type}`);
  if (value === null || value === undefined) return `${name}:${code}${required ? "!" : ""}`;
  const text = [value]
    .flat()
    .map((v) => (code === "f" ? shortest(v) : v))
    .join("/");
  if (/[,;|=\n]/.test(text)) throw new Error(`the default ${text} of ${name} needs quoting`);
  return `${name}:${code}=${text}`;
};
const byName = new Map();
for (const s of schemas) byName.set(s.name, [...(byName.get(s.name) ?? []), s]);
const lines = [...byName]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, versions]) => {
    const made = versions
      .sort((a, b) => a.since - b.since)
      .map((s) => {
        const least = (list) =>
          Math.max(0, ...list.map((p, i) => (p.option === "Single" ? i + 1 : p.option === "Variadic" ? i + p.min : 0)));
        if (least(s.inputs) !== s.min_in || least(s.outputs) !== s.min_out)
          throw new Error(`arity of ${name} ${s.since}`);
        const parts = [
          s.inputs.map(parameter).join(","),
          s.outputs.map(parameter).join(","),
          s.attributes
            .sort((a, b) => (a.name < b.name ? -1 : 1))
            .map(attribute)
            .join(","),
          s.constraints.map((c) => `${c.name}=${intern(typeSet(c.types))}`).join(","),
        ];
        return `${s.since}${s.deprecated ? "d" : ""}${s.function ? "f" : ""};${parts.map((part) => part && intern(part)).join(";")}`;
      });
    return `${name}|${made.join("|")}`;
  });
const quoted = (list) => `\`${list.join("\n").replace(/[\\`$]/g, "\\$&")}\``;
writeFileSync(
  new URL("../src/schema/table.gen.ts", import.meta.url),
  `// Made by scripts/generate-schemas.mjs from onnx 1.22 (Apache-2.0). Do not edit.\nexport const pool = ${quoted([...pool.keys()])};\nexport const operators = ${quoted(lines)};\n`,
);
