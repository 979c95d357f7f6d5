/** Most events of a transaction, but for a single message with more. */
export const MAX_EVENTS_PER_TRANSACTION = 10_000;

/**
 * Spreads messages, each a list of its events, over transactions: when messages hold many events each, memory and the time for which
 * the log is locked keep their bounds. Messages stay whole and in their order.
 */
export function splitIntoTransactions<Checked>(
  messages: readonly (readonly Checked[])[],
  most = MAX_EVENTS_PER_TRANSACTION,
): (readonly Checked[])[][] {
  const transactions: (readonly Checked[])[][] = [];
  let open: (readonly Checked[])[] = [];
  let events = 0;
  for (const message of messages) {
    if (open.length > 0 && events + message.length > most) {
      transactions.push(open);
      open = [];
      events = 0;
    }
    open.push(message);
    events += message.length;
  }
  return open.length === 0 ? transactions : [...transactions, open];
}
