import type { Diagnostic, Model } from "@pare/core";

export function upgrade(model: Model, _options: { diagnostics?: Diagnostic[]; file?: string } = {}): Model {
  return model;
}
