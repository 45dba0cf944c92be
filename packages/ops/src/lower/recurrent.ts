import { attr } from "@pare/core";
import { join, type Lower, permute } from "./builder.ts";

/** Batches came second until 14: sequences [length, batch, size], states [directions, batch, size]. */
export const batchFirst =
  (states: number): Lower =>
  (b) => {
    const bare = { layout: undefined };
    if (b.intOf("layout", 0) === 0) return b.keep({ attributes: bare });
    const { inputs, outputs } = b.node;
    const swapped = inputs.map((v, i) => (v && (i === 0 || (i >= 5 && i < 5 + states)) ? permute(b, v, 1, 0, 2) : v));
    const made = outputs.map((v, i) => v && b.fresh(i === 0 ? "sequence" : "state"));
    b.keep({ inputs: swapped, outputs: made, attributes: bare });
    outputs.forEach((v, i) => {
      if (v) b.add("Transpose", [made[i]], { perm: attr.ints(i === 0 ? [2, 0, 1, 3] : [1, 0, 2]) }, [v]);
    });
  };

/** A depthwise convolution over the past state, or zeros, and the input. */
export const causalConv: Lower = (b) => {
  const [x, w, bias, past] = [b.input(0)!, b.input(1)!, b.input(2), b.input(3)];
  const channels = [b.shape(x)?.[1], b.shape(w)?.[0]].find((d): d is number => typeof d === "number");
  if (channels === undefined) return b.refuse("its number of channels is not known");
  const dtype = b.dtype(x);
  const before = b.add("Sub", [b.dims(w, 2, 3), b.ints([1])]);
  const zeros = () => b.add("Expand", [b.cast(b.int(0), dtype), join(b, 0, b.dims(x, 0, 2), before)]);
  const padded = join(b, 2, past ? b.cast(past, dtype) : zeros(), x);
  const group = { group: attr.int(channels) };
  const activation = b.textOf("activation", "none");
  if (activation === "none") b.give("Conv", [padded, w, bias], group);
  else if (activation === "silu" || activation === "swish") {
    const wide = b.cast(b.add("Conv", [padded, w, bias], group), "float32");
    const active = b.add("Mul", [wide, b.add("Sigmoid", [wide])]);
    b.give("Identity", [b.cast(active, dtype)]);
  } else b.refuse(`its activation ${activation} is unknown`);
  const state = b.node.outputs[1];
  if (!state) return;
  const length = b.dims(padded, 2, 3);
  const last = b.add("Slice", [padded, b.add("Sub", [length, before]), length, b.ints([2])]);
  b.add("Identity", [b.cast(last, past ? b.dtype(past) : dtype)], {}, [state]);
};

/** A scan over positions with the state in float32, by the body that ONNX 1.22 gives LinearAttention 27. */
export const linearAttention: Lower = (b) => {
  const [q, k, v, past, decay, beta] = [0, 1, 2, 3, 4, 5].map((i) => b.input(i));
  const [heads, groups] = [b.intOf("q_num_heads", 0), b.intOf("kv_num_heads", 0)];
  if (heads < 1 || groups < 1 || heads % groups !== 0) b.refuse("its numbers of heads do not fit");
  const rule = b.textOf("update_rule", "gated_delta");
  const [fades, corrects] = [rule.startsWith("gated"), rule.endsWith("delta")];
  if ((fades && !decay) || (corrects && !beta)) b.refuse(`the rule ${rule} needs decay or beta`);
  const dtype = b.dtype(q!);
  /** [batch, positions, count * size] as float32 [positions, batch, count, size]. */
  const byStep = (x: string, count: number) =>
    permute(b, b.add("Reshape", [b.cast(x, "float32"), b.ints([0, 0, count, -1])]), 1, 0, 2, 3);
  const betas = () => permute(b, b.add("Unsqueeze", [b.cast(beta!, "float32"), b.ints([3])]), 1, 0, 2, 3);
  const steps = [byStep(q!, heads), byStep(k!, groups), byStep(v!, groups)];
  if (fades) steps.push(byStep(decay!, groups));
  if (corrects) steps.push(betas());

  const [batch, depth] = [b.dims(q!, 0, 1), b.add("Div", [b.dims(q!, 2, 3), b.ints([heads])])];
  const width = b.add("Div", [b.dims(v!, 2, 3), b.ints([groups])]);
  const zeros = () => b.add("ConstantOfShape", [join(b, 0, batch, b.ints([groups]), depth, width)]);
  const first = past ? b.cast(past, "float32") : zeros();
  const given = b.floatOf("scale", 0);
  const root = () => b.add("Sqrt", [b.cast(b.add("Squeeze", [depth, b.ints([0])]), "float32")]);
  const scale = given === 0 ? b.add("Reciprocal", [root()]) : b.float(given, "float32");
  const [row, column] = [b.ints([-2]), b.ints([-1])];
  const many = heads / groups;
  const expand = many > 1 && {
    axis: b.ints([2]),
    wide: join(b, 0, batch, b.ints([groups, many]), depth, width),
    flat: join(b, 0, batch, b.ints([heads]), depth, width),
  };

  const names = ["state", "query", "key", "value", ...(fades ? ["decay"] : []), ...(corrects ? ["beta"] : [])].map(
    b.fresh,
  );
  const body = b.graph(
    names.map((name) => ({ name, dtype: "float32" as const })),
    () => {
      const [state, qt, kt, vt, ...more] = names as [string, string, string, string, ...string[]];
      const kept = fades ? b.add("Mul", [state, b.add("Unsqueeze", [b.add("Exp", [more[0]]), column])]) : state;
      const keyColumn = b.add("Unsqueeze", [kt, column]);
      const known = () => b.add("Squeeze", [b.add("MatMul", [permute(b, kept, 0, 1, 3, 2), keyColumn]), column]);
      const written = corrects ? b.add("Mul", [more.at(-1), b.add("Sub", [vt, known()])]) : vt;
      const outer = b.add("MatMul", [keyColumn, b.add("Unsqueeze", [written, row])]);
      const next = b.add("Add", [kept, outer]);
      const read = expand
        ? b.add("Reshape", [b.add("Expand", [b.add("Unsqueeze", [next, expand.axis]), expand.wide]), expand.flat])
        : next;
      const seen = b.add("Squeeze", [b.add("MatMul", [b.add("Unsqueeze", [qt, row]), read]), row]);
      return [next, b.add("Mul", [seen, scale])];
    },
  );
  const [last, all] = [b.fresh("last"), b.fresh("steps")];
  b.note("float32", last, all);
  b.add("Scan", [first, ...steps], { body: attr.graph(body), num_scan_inputs: attr.int(steps.length) }, [last, all]);
  b.give("Reshape", [b.cast(permute(b, all, 1, 0, 2, 3), dtype), b.ints([0, 0, -1])]);
  const state = b.node.outputs[1];
  if (state) b.add("Identity", [b.cast(last, past ? b.dtype(past) : dtype)], {}, [state]);
};
