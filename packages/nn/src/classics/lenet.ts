import { type Layer, sequential } from "../layer.ts";
import { flatten } from "../layers/combine.ts";
import { relu, tanh } from "../layers/elementwise.ts";
import { conv2d, dense } from "../layers/linear.ts";
import { averagePool, maxPool } from "../layers/window.ts";

/** LeNet-300-100, for `[1, 28, 28]`: 266,610 parameters. LeCun et al. (1998). */
export const lenet300 = (classes = 10): Layer =>
  sequential(flatten(), dense(300), relu(), dense(100), relu(), dense(classes));

/** LeNet-5 as it was published, with means and tanh, for `[1, 28, 28]`: 61,706 parameters. LeCun et al. (1998). */
export const lenet5 = (classes = 10): Layer =>
  sequential(
    ...[conv2d(6, 5), tanh(), averagePool(2)],
    ...[conv2d(16, 5, { padding: "valid" }), tanh(), averagePool(2)],
    ...[flatten(), dense(120), tanh(), dense(84), tanh(), dense(classes)],
  );

/** LeNet-5 as pruning papers mean it (Caffe's), for `[1, 28, 28]`: 431,080 parameters. */
export const lenetCaffe = (classes = 10): Layer =>
  sequential(
    ...[conv2d(20, 5, { padding: "valid" }), maxPool(2)],
    ...[conv2d(50, 5, { padding: "valid" }), maxPool(2)],
    ...[flatten(), dense(500), relu(), dense(classes)],
  );
