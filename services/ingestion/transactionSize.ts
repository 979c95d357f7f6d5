/** Most events of a transaction, but for a single message with more: it bounds the time for which the log is locked. */
export const MAX_EVENTS_PER_TRANSACTION = 10_000;

/** Most bytes that are decoded at the same time. Some thousand messages of one event each are far below it. */
export const MAX_BYTES_AT_ONCE = 4 * 1_024 * 1_024;

/** Spreads messages, each a list of its events, over transactions. */
export const splitIntoTransactions = <Checked>(messages: readonly (readonly Checked[])[]): (readonly Checked[])[][] =>
  splitBySize(messages, ({ length }) => length, MAX_EVENTS_PER_TRANSACTION);

/** Spreads undecoded messages over batches that memory has room for when they are decoded: a message may hold many events. */
export const splitByBytes = <Raw extends { readonly data: Uint8Array }>(messages: readonly Raw[]): Raw[][] =>
  splitBySize(messages, ({ data }) => data.length, MAX_BYTES_AT_ONCE);

/** Cuts a list into parts of at most this size, in order; an item that is larger is a part of its own. */
export function splitBySize<Item>(items: readonly Item[], sizeOf: (item: Item) => number, most: number): Item[][] {
  const parts: Item[][] = [];
  let open: Item[] = [];
  let size = 0;
  for (const item of items) {
    const own = sizeOf(item);
    if (open.length > 0 && size + own > most) {
      parts.push(open);
      open = [];
      size = 0;
    }
    open.push(item);
    size += own;
  }
  if (open.length > 0) parts.push(open);
  return parts;
}
