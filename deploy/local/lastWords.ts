/** How far back to look for an error. */
const LINES = 60;

/**
 * Finds in a log why its process failed: the message of the last fatal line of a service (one JSON object a line), the
 * first line of an uncaught error, nats-server's or PostgreSQL's last fatal line, or else the last lines.
 */
export function lastWords(log: string): string {
  const lines = log.trimEnd().split("\n").slice(-LINES);
  for (const line of lines.toReversed()) {
    const found = fatalMessage(line);
    if (found !== undefined) return found;
  }
  return lines.slice(-3).join("\n");
}

function fatalMessage(line: string): string | undefined {
  if (line.startsWith("{")) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      return level === "fatal" ? msg : undefined;
    } catch {
      return undefined;
    }
  }
  return (
    /^(?:\w*Error\b.*: .*)/.exec(line)?.[0] ??
    /\[FTL\] (.*)/.exec(line)?.[1] ??
    /^nats-server: (.*)/.exec(line)?.[1] ??
    /\b(?:FATAL|PANIC): +(.*)/.exec(line)?.[1]
  );
}
