/** Exact distances between two samples; the yardstick of what is calculated from bins. All take values in ascending order. */

/** The two-sample Kolmogorov-Smirnov statistic: the largest difference of the two empirical distributions (Smirnov, 1939). */
export function sampleKolmogorovSmirnov(first: Readonly<Float64Array>, second: Readonly<Float64Array>): number {
  let [i, j, largest] = [0, 0, 0];
  while (i < first.length && j < second.length) {
    const value = Math.min(first[i] as number, second[j] as number);
    while (i < first.length && first[i] === value) i += 1;
    while (j < second.length && second[j] === value) j += 1;
    largest = Math.max(largest, Math.abs(i / first.length - j / second.length));
  }
  return largest;
}

/** Wasserstein distance of order 1, in units of the values: the area between the two empirical distributions (Vallender, 1974). */
export function sampleWasserstein(first: Readonly<Float64Array>, second: Readonly<Float64Array>): number {
  let [i, j, area] = [0, 0, 0];
  let before = Math.min(first[0] as number, second[0] as number);
  while (i < first.length || j < second.length) {
    const value = Math.min(first[i] ?? Infinity, second[j] ?? Infinity);
    area += (value - before) * Math.abs(i / first.length - j / second.length);
    while (i < first.length && first[i] === value) i += 1;
    while (j < second.length && second[j] === value) j += 1;
    before = value;
  }
  return area;
}
