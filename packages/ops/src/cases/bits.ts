import { attr } from "@pare/core";
import { caseOf, f32, i32, type OperatorCase, u8 } from "./case.ts";

export const bitsCases: readonly OperatorCase[] = [
  caseOf("BitwiseAnd", {}, [i32([3], [12, -7, 255]), i32([3], [10, 3, -1])], [i32([3], [8, 1, 255])]),
  caseOf("BitwiseOr", {}, [i32([3], [12, -7, 255]), i32([3], [10, 3, -1])], [i32([3], [14, -5, -1])]),
  caseOf("BitwiseXor", {}, [i32([3], [12, -7, 255]), i32([3], [10, 3, -1])], [i32([3], [6, -6, -256])]),
  caseOf("BitwiseNot", {}, [u8([3], [0, 5, 200])], [u8([3], [255, 250, 55])]),
  caseOf("BitShift", { direction: attr.string("LEFT") }, [u8([2], [1, 200]), u8([2], [3, 1])], [u8([2], [8, 144])]),
  caseOf("BitShift", { direction: attr.string("RIGHT") }, [u8([2], [16, 200]), u8([2], [3, 1])], [u8([2], [2, 100])]),
  caseOf("BitCast", { to: attr.int(6) }, [f32([2], [1, -2])], [i32([2], [1065353216, -1073741824])]),
];
