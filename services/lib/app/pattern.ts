import { RE2JS } from "@bufbuild/re2";

/** Says whether a whole string matches. */
export type PatternMatcher = (text: string) => boolean;

/**
 * Compiles a pattern in RE2 syntax (https://github.com/google/re2/wiki/Syntax), anchored at both ends. Patterns that mean the same
 * to JavaScript and cannot backtrack for long run on its own engine, which is ten times faster; all others on RE2, in linear time.
 *
 * @throws an Error that says what is wrong with the pattern
 */
export function compilePattern(pattern: string): PatternMatcher {
  const linear = RE2JS.compile(`^(?:${pattern})$`);
  const native = nativePattern(pattern);
  return native === undefined ? (text) => linear.test(text) : (text) => native.test(text);
}

/** Letters, classes without names, bounded repetition, groups without flags: equal in both dialects. */
const PLAIN = /^(?:[\w \-,:;/@#%&=!<>~'"|()[\]^$?*+]|\{\d{1,3}(?:,\d{0,3})?\}|\\[dw.\-+*?()[\]{}|^$/])*$/;

function nativePattern(pattern: string): RegExp | undefined {
  // One unbounded repetition at most, and none of a group: anything else could backtrack for a time that is not linear.
  const unbounded = pattern.match(/[*+]|\{\d+,\}/g)?.length ?? 0;
  const plain = PLAIN.test(pattern) && !/\)[*+{?]|\(\?|\[[^\]]*\[/.test(pattern);
  if (!plain || unbounded > 1) return undefined;
  try {
    return new RegExp(`^(?:${pattern})$`, "u");
  } catch {
    return undefined;
  }
}
