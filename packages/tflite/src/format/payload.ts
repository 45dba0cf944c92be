import type { Tensor } from "@pare/core";

/** Bytes that are in memory or can be read: a weight as the file holds it. Any tensor of `@pare/core` is one. */
export type Payload = Pick<Tensor, "byteLength" | "bytes" | "key" | "read">;
