/** The text of kernels.gen.ts, compiled from kernels.wat. */
export function generated(): Promise<string>;
