export { type Differentiated, type DifferentiateOptions, differentiate } from "./differentiate.ts";
