/** Makes broken messages out of good ones. */
export function mutate(seeds: readonly Uint8Array[], random: () => number): Uint8Array {
  const whole = (max: number): number => Math.floor(random() * max);
  const pick = (): Uint8Array => seeds[whole(seeds.length)] ?? new Uint8Array();
  let bytes = [...pick()];
  for (let change = whole(4); change >= 0; change -= 1) {
    const at = whole(bytes.length + 1);
    const kind = whole(7);
    if (kind === 0 && bytes.length > 0)
      bytes[at % bytes.length] = (bytes[at % bytes.length] as number) ^ (1 << whole(8));
    else if (kind === 1 && bytes.length > 0) bytes[at % bytes.length] = [0, 1, 127, 128, 255][whole(5)] as number;
    else if (kind === 2) bytes = bytes.slice(0, at);
    else if (kind === 3) bytes.splice(at, whole(8));
    else if (kind === 4) bytes.splice(at, 0, ...Array.from({ length: 1 + whole(12) }, () => whole(256)));
    else if (kind === 5) bytes = [...bytes.slice(0, at), ...pick().slice(whole(20))];
    else bytes = [...bytes, ...pick()];
  }
  return Uint8Array.from(bytes);
}
