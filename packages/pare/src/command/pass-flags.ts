import { failure, type Pass } from "@pare/core";
import { type Command, Option } from "commander";
import type { FlaggedPass } from "../passes.ts";

/** The part of JSON Schema that pass options are described by. */
interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly anyOf?: readonly JsonSchema[];
  readonly additionalProperties?: unknown;
}

/** Standard JSON Schema (https://standardschema.dev): a schema that can describe itself. */
interface Describing {
  readonly "~standard": { readonly jsonSchema?: { input(options: { target: string }): Record<string, unknown> } };
}

/** What a pass's options are, if its schema can tell. */
export const schemaOf = (pass: FlaggedPass): JsonSchema =>
  ((pass.schema as Describing | undefined)?.["~standard"].jsonSchema?.input({ target: "draft-2020-12" }) ??
    {}) as JsonSchema;

/**
 * Adds a flag for each pass, `--int8-weights`, and one for each of its options, `--int8-weights.granularity channel`, which means the
 * pass too. The function that it returns makes the passes, in the order in which the flags first named them.
 */
export function addPassFlags(command: Command, passes: readonly FlaggedPass[]): () => Pass[] {
  const chosen = new Map<FlaggedPass, Record<string, unknown>>();
  const optionsOf = (pass: FlaggedPass) => {
    const options = chosen.get(pass) ?? {};
    chosen.set(pass, options);
    return options;
  };
  for (const pass of passes) {
    const { name } = pass;
    const group = `Pass ${name}:`;
    const { properties = {}, additionalProperties } = schemaOf(pass);
    if (typeof additionalProperties === "object") {
      command.addOption(new Option(`--${name} <name=value>`, pass.summary).helpGroup(group));
      command.on(`option:${name}`, (text: string) => void Object.assign(optionsOf(pass), namedNumbers(text, name)));
      continue;
    }
    command.addOption(new Option(`--${name}`, pass.summary).helpGroup(group));
    command.on(`option:${name}`, () => void optionsOf(pass));
    for (const [key, schema] of Object.entries(properties)) {
      const flag = `${name}.${kebab(key)}`;
      const option = new Option(`--${flag} <${placeholder(schema)}>`, describe(schema)).helpGroup(group);
      command.addOption(option);
      command.on(`option:${flag}`, (text: string) => {
        const options = optionsOf(pass);
        const value = parsed(schema, text, flag);
        const before = options[key];
        options[key] = Array.isArray(value) && Array.isArray(before) ? [...before, ...value] : value;
      });
    }
  }
  return () => [...chosen].map(([pass, options]) => pass.make(options));
}

/** `N=1` as `{ N: 1 }`, and `image=1,3,224,224` as `{ image: [1, 3, 224, 224] }`. */
function namedNumbers(text: string, flag: string): Record<string, unknown> {
  const cut = text.lastIndexOf("=");
  const numbers = text
    .slice(cut + 1)
    .split(",")
    .map(Number);
  if (cut < 1 || numbers.some(Number.isNaN))
    throw failure("pare/usage", `--${flag} ${text} is not a name and a number or several`, {
      hint: `It is written --${flag} N=1 or --${flag} image=1,3,224,224.`,
    });
  return { [text.slice(0, cut)]: numbers.length === 1 ? numbers[0] : numbers };
}

/** `blockSize` as `block-size`. */
const kebab = (key: string) => key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

function placeholder(s: JsonSchema): string {
  if (s.enum) return s.enum.join("|");
  switch (s.type) {
    case "array":
      return s.items?.type === "object" ? "json" : "a,b";
    case "boolean":
      return "true|false";
    case "integer":
    case "number":
      return "number";
    default:
      return "value";
  }
}

/** A JSON list, or one object, which the same flag again adds to. */
function listOf(text: string, flag: string): unknown[] {
  try {
    return [JSON.parse(text)].flat();
  } catch {
    throw wrong(flag, text, "JSON");
  }
}

function describe(s: JsonSchema): string {
  const shown = s.default === undefined ? "" : String(s.default);
  const fallback = shown === "" ? "" : ` (default ${shown})`;
  return `${s.description ?? ""}${fallback}`.trim();
}

/** The text of a flag as the value that the schema wants; whether it is a good one is the schema's own to say. */
function parsed(s: JsonSchema, text: string, flag: string): unknown {
  if (s.enum && !s.enum.includes(text)) {
    const number = Number(text);
    if (text !== "" && s.enum.includes(number)) return number;
    throw wrong(flag, text, `one of ${s.enum.join(", ")}`);
  }
  switch (s.type) {
    case "integer":
    case "number": {
      const n = Number(text);
      if (text.trim() === "" || Number.isNaN(n)) throw wrong(flag, text, "a number");
      return n;
    }
    case "boolean":
      if (text !== "true" && text !== "false") throw wrong(flag, text, "true or false");
      return text === "true";
    case "array":
      if (s.items?.type === "object") return listOf(text, flag);
      return text.split(",").map((item) => parsed(s.items ?? {}, item.trim(), flag));
    default: {
      if (!s.anyOf) return text;
      for (const each of s.anyOf)
        try {
          return parsed(each, text, flag);
        } catch {
          // The next alternative may take it.
        }
      throw wrong(flag, text, s.anyOf.map(placeholder).join(" or "));
    }
  }
}

const wrong = (flag: string, text: string, wanted: string) =>
  failure("pare/usage", `--${flag} is ${JSON.stringify(text)}, and should be ${wanted}`);
