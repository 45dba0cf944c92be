import type { TfliteOperator } from "./model.ts";
import type { TableName } from "./schema.gen.ts";

/** Options that are indices of graphs, or lists of them. */
const fields: Partial<Record<TableName, readonly string[]>> = {
  IfOptions: ["then_subgraph_index", "else_subgraph_index"],
  WhileOptions: ["cond_subgraph_index", "body_subgraph_index"],
  CallOnceOptions: ["init_subgraph_index"],
  CallOptions: ["subgraph"],
  StablehloWhileOptions: ["cond_subgraph_index", "body_subgraph_index"],
  StablehloReduceOptions: ["body_subgraph_index"],
  StablehloReduceWindowOptions: ["body_subgraph_index"],
  StablehloSortOptions: ["comparator_subgraph_index"],
  StablehloScatterOptions: ["update_computation_subgraph_index"],
  StableHLOCompositeOptions: ["decomposition_subgraph_index"],
  StablehloCaseOptions: ["branch_subgraph_indices"],
  StablehloCustomCallOptions: ["called_computations"],
};

export const graphFieldsOf = (table: TableName): readonly string[] => fields[table] ?? [];

/** The graphs that an operator names. */
export function graphsOf({ builtin_options, builtin_options_2 }: TfliteOperator): readonly number[] {
  const options = builtin_options ?? builtin_options_2;
  if (!options) return [];
  const values = options.value as Readonly<Record<string, number | readonly number[] | undefined>>;
  return graphFieldsOf(options.type).flatMap((name) => values[name] ?? (isList(name) ? [] : 0));
}

const isList = (name: string): boolean => name === "branch_subgraph_indices" || name === "called_computations";
