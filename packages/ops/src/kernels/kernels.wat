;; Streaming loops over float32 weights, four at a time. The caller copies up to 16,384 elements to X, calls, and copies
;; the results away. Sizes and positions are in bytes and at least 4. Loops go in whole vectors: what they write behind
;; the end is overwritten by the next run or never read, and every region has room for it.
;;
;;   0x00000  X  elements
;;   0x10100  Y  results
;;   0x20200  A  for each run or column: scale, minimum
;;   0x30300  Z  for each run or column: zero point (int32), maximum
;;   0x40400  L  for each run: its length in bytes
;;   0x50500  R  statistics, as lanes that the caller joins
(module
  (memory (export "memory") 6)

  ;; Sums are in float64 and two lanes: elements of even and of odd index. X ends in zeros, up to a whole vector.
  (func (export "absSum") (param $end i32)
    (local $p i32) (local $sum v128)
    (loop $next
      (local.set $sum (f64x2.add (local.get $sum)
        (f64x2.abs (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $p))))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 8))) (local.get $end))))
    (v128.store offset=0x50500 (i32.const 0) (local.get $sum)))

  ;; Elements that are not zero.
  (func (export "nonZeros") (param $end i32)
    (local $p i32) (local $count v128)
    (loop $next
      (local.set $count (i32x4.sub (local.get $count)
        (f32x4.ne (v128.load (local.get $p)) (f32x4.splat (f32.const 0)))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))
    (v128.store offset=0x50500 (i32.const 0) (local.get $count)))

  ;; In X: zero where the magnitude is below the limit.
  (func (export "zeroBelow") (param $end i32) (param $limit f32)
    (local $p i32) (local $v v128)
    (loop $next
      (v128.store (local.get $p) (v128.andnot
        (local.tee $v (v128.load (local.get $p)))
        (f32x4.lt (f32x4.abs (local.get $v)) (f32x4.splat (local.get $limit)))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end)))))

  ;; X to float16 in Y. With magnitude bits a: a normal result is a, rounded to 10 bits of fraction and rebased; a
  ;; subnormal one is in the low bits of |x| + 0.5, rounded by the addition; what is beyond is infinite, or NaN.
  (func (export "toHalf") (param $end i32)
    (local $p i32) (local $v v128) (local $a v128) (local $half v128)
    (loop $next
      (local.set $a (f32x4.abs (local.tee $v (v128.load (local.get $p)))))
      (local.set $half (i32x4.min_u (i32x4.splat (i32.const 0x7c00)) (i32x4.shr_u
        (i32x4.add
          (i32x4.add (local.get $a) (i32x4.splat (i32.const 0xc8000fff)))
          (v128.and (i32x4.shr_u (local.get $a) (i32.const 13)) (i32x4.splat (i32.const 1))))
        (i32.const 13))))
      (local.set $half (v128.bitselect
        (i32x4.sub
          (f32x4.add (local.get $a) (f32x4.splat (f32.const 0.5)))
          (i32x4.splat (i32.const 0x3f000000)))
        (local.get $half)
        (i32x4.lt_s (local.get $a) (i32x4.splat (i32.const 0x38800000)))))
      (local.set $half (v128.or
        (v128.or
          (local.get $half)
          (v128.and (f32x4.ne (local.get $v) (local.get $v)) (i32x4.splat (i32.const 0x7e00))))
        (v128.and (i32x4.shr_u (local.get $v) (i32.const 16)) (i32x4.splat (i32.const 0x8000)))))
      (v128.store64_lane offset=0x10100 0 (i32.shr_u (local.get $p) (i32.const 1))
        (i16x8.narrow_i32x4_u (local.get $half) (local.get $half)))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end)))))

  ;; What float16 does to X. R: sums of squares of values and of errors, largest magnitude, count of infinite results.
  (func (export "halfStatistics") (param $end i32)
    (local $p i32) (local $a v128) (local $e v128) (local $d v128)
    (local $signal v128) (local $noise v128) (local $largest v128) (local $overflow v128)
    (loop $next
      (local.set $largest (f32x4.pmax (local.get $largest)
        (local.tee $a (f32x4.abs (v128.load (local.get $p))))))
      (local.set $e (v128.and (i32x4.splat (i32.const 0xffffe000)) (i32x4.add
        (i32x4.add (local.get $a) (i32x4.splat (i32.const 0xfff)))
        (v128.and (i32x4.shr_u (local.get $a) (i32.const 13)) (i32x4.splat (i32.const 1))))))
      (local.set $overflow (i32x4.sub (local.get $overflow)
        (i32x4.ge_u (local.get $e) (i32x4.splat (i32.const 0x47800000)))))
      (local.set $e (f32x4.sub (local.get $a) (v128.bitselect
        (f32x4.sub
          (f32x4.add (local.get $a) (f32x4.splat (f32.const 0.5)))
          (f32x4.splat (f32.const 0.5)))
        (local.get $e)
        (i32x4.lt_s (local.get $a) (i32x4.splat (i32.const 0x38800000))))))
      (local.set $d (f64x2.promote_low_f32x4 (local.get $a)))
      (local.set $signal (f64x2.add (local.get $signal) (f64x2.mul (local.get $d) (local.get $d))))
      (local.set $d (f64x2.promote_low_f32x4 (local.get $e)))
      (local.set $noise (f64x2.add (local.get $noise) (f64x2.mul (local.get $d) (local.get $d))))
      (local.set $d (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $a) (local.get $a))))
      (local.set $signal (f64x2.add (local.get $signal) (f64x2.mul (local.get $d) (local.get $d))))
      (local.set $d (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $e) (local.get $e))))
      (local.set $noise (f64x2.add (local.get $noise) (f64x2.mul (local.get $d) (local.get $d))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))
    (v128.store offset=0x50500 (i32.const 0) (local.get $signal))
    (v128.store offset=0x50510 (i32.const 0) (local.get $noise))
    (v128.store offset=0x50520 (i32.const 0) (local.get $largest))
    (v128.store offset=0x50530 (i32.const 0) (local.get $overflow)))

  ;; What rounding X * factor to whole codes does. R: sums of squares of values and of errors in codes, least and
  ;; largest code (at least 0), counts of codes outside low to high and of elements that are not finite.
  (func (export "fixedStatistics") (param $end i32) (param $factor f64) (param $low f64) (param $high f64)
    (local $p i32) (local $v v128) (local $d v128) (local $code v128)
    (local $signal v128) (local $noise v128) (local $least v128) (local $largest v128)
    (local $beyond v128) (local $wild v128)
    (loop $next
      (local.set $v (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $p))))
      (local.set $signal (f64x2.add (local.get $signal) (f64x2.mul (local.get $v) (local.get $v))))
      (local.set $code (f64x2.nearest
        (local.tee $d (f64x2.mul (local.get $v) (f64x2.splat (local.get $factor))))))
      (local.set $d (f64x2.sub (local.get $d) (local.get $code)))
      (local.set $noise (f64x2.add (local.get $noise) (f64x2.mul (local.get $d) (local.get $d))))
      (local.set $least (f64x2.pmin (local.get $least) (local.get $code)))
      (local.set $largest (f64x2.pmax (local.get $largest) (local.get $code)))
      (local.set $beyond (i64x2.sub (local.get $beyond) (v128.or
        (f64x2.lt (local.get $code) (f64x2.splat (local.get $low)))
        (f64x2.gt (local.get $code) (f64x2.splat (local.get $high))))))
      ;; The difference of a number with itself is 0, of an infinity or NaN it is NaN.
      (local.set $wild (i64x2.sub (local.get $wild) (f64x2.ne
        (local.tee $d (f64x2.sub (local.get $v) (local.get $v)))
        (local.get $d))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 8))) (local.get $end))))
    (v128.store offset=0x50500 (i32.const 0) (local.get $signal))
    (v128.store offset=0x50510 (i32.const 0) (local.get $noise))
    (v128.store offset=0x50520 (i32.const 0) (local.get $least))
    (v128.store offset=0x50530 (i32.const 0) (local.get $largest))
    (v128.store offset=0x50540 (i32.const 0) (local.get $beyond))
    (v128.store offset=0x50550 (i32.const 0) (local.get $wild)))

  ;; Minimum and maximum of each run to A and Z; NaN when one is among them. `rows` is four times the count of runs.
  (func (export "minMaxRows") (param $rows i32)
    (local $p i32) (local $row i32) (local $end i32) (local $v v128) (local $low v128) (local $high v128)
    (loop $nextRow
      (local.set $end (i32.add (local.get $p) (i32.load offset=0x40400 (local.get $row))))
      (local.set $low (local.tee $high (v128.load32_splat (local.get $p))))
      (loop $next
        (if (i32.gt_u (i32.add (local.get $p) (i32.const 16)) (local.get $end))
          (then
            (local.set $v (v128.load32_splat (local.get $p)))
            (local.set $p (i32.add (local.get $p) (i32.const 4))))
          (else
            (local.set $v (v128.load (local.get $p)))
            (local.set $p (i32.add (local.get $p) (i32.const 16)))))
        (local.set $low (f32x4.min (local.get $low) (local.get $v)))
        (local.set $high (f32x4.max (local.get $high) (local.get $v)))
        (br_if $next (i32.lt_u (local.get $p) (local.get $end))))
      (local.set $low (f32x4.min (local.get $low)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $low) (local.get $low))))
      (local.set $high (f32x4.max (local.get $high)
        (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $high) (local.get $high))))
      (v128.store32_lane offset=0x20200 0 (local.get $row) (f32x4.min (local.get $low)
        (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $low) (local.get $low))))
      (v128.store32_lane offset=0x30300 0 (local.get $row) (f32x4.max (local.get $high)
        (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $high) (local.get $high))))
      (br_if $nextRow (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows)))))

  ;; Lowers A and raises Z by X, whose rows have `width` bytes; the last row may be shorter. Behind its end, up to a
  ;; whole vector, must be elements of the same columns.
  (func (export "minMaxColumns") (param $end i32) (param $width i32)
    (local $p i32) (local $q i32) (local $last i32) (local $v v128)
    (loop $nextRow
      (local.set $last (select (local.get $width) (i32.sub (local.get $end) (local.get $p))
        (i32.lt_u (local.get $width) (i32.sub (local.get $end) (local.get $p)))))
      (local.set $q (i32.const 0))
      (loop $next
        (local.set $v (v128.load (i32.add (local.get $p) (local.get $q))))
        (v128.store offset=0x20200 (local.get $q)
          (f32x4.min (v128.load offset=0x20200 (local.get $q)) (local.get $v)))
        (v128.store offset=0x30300 (local.get $q)
          (f32x4.max (v128.load offset=0x30300 (local.get $q)) (local.get $v)))
        (br_if $next (i32.lt_u (local.tee $q (i32.add (local.get $q) (i32.const 16))) (local.get $last))))
      (br_if $nextRow (i32.lt_u (local.tee $p (i32.add (local.get $p) (local.get $width))) (local.get $end)))))

  ;; Codes of each run as int32 in Y: round(x / scale) + zero point in float32, saturated, NaN to 0.
  (func (export "codeRows") (param $rows i32)
    (local $p i32) (local $row i32) (local $end i32) (local $scale v128) (local $zero v128)
    (loop $nextRow
      (local.set $end (i32.add (local.get $p) (i32.load offset=0x40400 (local.get $row))))
      (local.set $scale (v128.load32_splat offset=0x20200 (local.get $row)))
      (local.set $zero (f32x4.convert_i32x4_s (v128.load32_splat offset=0x30300 (local.get $row))))
      (loop $next
        (v128.store offset=0x10100 (local.get $p) (i32x4.trunc_sat_f32x4_s (f32x4.add
          (f32x4.nearest (f32x4.div (v128.load (local.get $p)) (local.get $scale)))
          (local.get $zero))))
        (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))
      (local.set $p (local.get $end))
      (br_if $nextRow (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows)))))

  ;; The same where each column has a scale and a zero point.
  (func (export "codeColumns") (param $end i32) (param $width i32)
    (local $p i32) (local $q i32) (local $last i32)
    (loop $nextRow
      (local.set $last (select (local.get $width) (i32.sub (local.get $end) (local.get $p))
        (i32.lt_u (local.get $width) (i32.sub (local.get $end) (local.get $p)))))
      (local.set $q (i32.const 0))
      (loop $next
        (v128.store offset=0x10100 (i32.add (local.get $p) (local.get $q)) (i32x4.trunc_sat_f32x4_s (f32x4.add
          (f32x4.nearest (f32x4.div
            (v128.load (i32.add (local.get $p) (local.get $q)))
            (v128.load offset=0x20200 (local.get $q))))
          (f32x4.convert_i32x4_s (v128.load offset=0x30300 (local.get $q))))))
        (br_if $next (i32.lt_u (local.tee $q (i32.add (local.get $q) (i32.const 16))) (local.get $last))))
      (br_if $nextRow (i32.lt_u (local.tee $p (i32.add (local.get $p) (local.get $width))) (local.get $end)))))

  ;; Codes in Y from int32 to narrower formats, in place, saturated.
  (func (export "toInt16") (param $end i32)
    (local $p i32)
    (loop $next
      (v128.store offset=0x10100 (i32.shr_u (local.get $p) (i32.const 1)) (i16x8.narrow_i32x4_s
        (v128.load offset=0x10100 (local.get $p)) (v128.load offset=0x10110 (local.get $p))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 32))) (local.get $end)))))

  (func (export "toInt8") (param $end i32)
    (local $p i32)
    (loop $next
      (v128.store offset=0x10100 (i32.shr_u (local.get $p) (i32.const 2)) (i8x16.narrow_i16x8_s
        (i16x8.narrow_i32x4_s
          (v128.load offset=0x10100 (local.get $p)) (v128.load offset=0x10110 (local.get $p)))
        (i16x8.narrow_i32x4_s
          (v128.load offset=0x10120 (local.get $p)) (v128.load offset=0x10130 (local.get $p)))))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 64))) (local.get $end)))))

  ;; int8 codes in X to two a byte in Y, the first in the low half, saturated.
  (func (export "packInt4") (param $end i32)
    (local $p i32) (local $v v128)
    (loop $next
      (local.set $v (i8x16.max_s
        (i8x16.min_s (v128.load (local.get $p)) (i8x16.splat (i32.const 7)))
        (i8x16.splat (i32.const -8))))
      (local.set $v (v128.or
        (v128.and (local.get $v) (i16x8.splat (i32.const 0x0f)))
        (v128.and (i16x8.shr_u (local.get $v) (i32.const 4)) (i16x8.splat (i32.const 0xf0)))))
      (v128.store64_lane offset=0x10100 0 (i32.shr_u (local.get $p) (i32.const 1))
        (i8x16.narrow_i16x8_u (local.get $v) (local.get $v)))
      (br_if $next (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 16))) (local.get $end))))))
