/** Numbers as standardised features have them, for models of which nothing is known: normally distributed, always the same. Row-major. */
export function sampleRows(rows: number, columns: number): Float32Array {
  let state = 1;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: rows * columns },
    // Box and Muller.
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
