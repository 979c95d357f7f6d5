import { hash } from "node:crypto";

/** Twelve hexadecimal digits. */
const RANGE = 2 ** 48;

/**
 * Whether a key belongs to a share of all keys. Always the same answer for the same salt, key and percentage; a larger percentage only
 * adds keys. Another salt, such as another model version, takes others.
 *
 * @param percent 0 to 100
 */
export function inShare(salt: string, key: string, percent: number): boolean {
  if (percent >= 100) return true;
  if (!(percent > 0)) return false;
  const place = Number.parseInt(hash("sha256", `${salt} ${key}`).slice(0, 12), 16) / RANGE;
  return place * 100 < percent;
}
