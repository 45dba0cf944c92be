export { pump } from "@pare/io";

/** Protobuf's bound on a message. */
export const INLINE_LIMIT = 2 ** 31;
