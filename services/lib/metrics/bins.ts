/**
 * The place of a value among bins: bin i holds edges[i-1] < x <= edges[i]; the first and the last are open. Training describes its columns by them,
 * and the monitor counts by them.
 *
 * @param edges ascending
 */
export function binOf(edges: readonly number[], value: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (edges[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}
