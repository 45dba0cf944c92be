export { float16ToFloat32, float32ToFloat16 } from "./numeric/float16.ts";
