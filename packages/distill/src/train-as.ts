import { edit, type Model, viewOf } from "@pare/core";
import { isDiverged, type Trained, type TrainOptions, train } from "@pare/train";

/**
 * Trains a model in another form, with outputs, inputs or layers that are for training alone, and gives the weights back to the model.
 * @throws PareError as `train` does; what has diverged holds the model too
 */
export async function trainAs(source: Model, form: Model, options: TrainOptions): Promise<Trained> {
  const { evaluate } = options;
  const restored = <T extends Trained>(t: T): T => ({ ...t, model: withWeightsOf(source, t.model) });
  try {
    return restored(
      await train(form, {
        ...options,
        evaluate: evaluate && ((m, epoch) => evaluate(withWeightsOf(source, m), epoch)),
      }),
    );
  } catch (error) {
    throw isDiverged(error) ? Object.assign(error, { trained: restored(error.trained) }) : error;
  }
}

/** A model with the weights that another has under the same names. */
const withWeightsOf = (model: Model, other: Model): Model =>
  edit(model, (e) => {
    const { main } = viewOf(other);
    for (const w of e.weights()) {
      const t = w.view === e.view.main ? main.constant(w.name) : undefined;
      if (t) e.setWeight(w, t);
    }
  });
