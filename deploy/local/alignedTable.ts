/** One column of a table for people. */
export interface TableColumn {
  readonly title: string;
  /** Numbers are aligned to the right. Default: left. */
  readonly align?: "left" | "right";
}

/** Lines of a table with aligned columns, two spaces between them; no line ends in spaces. */
export function alignedTable(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): string[] {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => (line[index] ?? "").length)));
  return lines.map((line) =>
    columns
      .map(({ align }, index) => {
        const cell = line[index] ?? "";
        const width = widths[index] as number;
        return align === "right" ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Breaks a text into lines of at most `width` characters, each after the first beginning with `indent`; the first keeps its own spaces. */
export function wrapText(text: string, width: number, indent = ""): string {
  const lines: string[] = [];
  const [first = "", ...words] = text.trimStart().split(" ");
  let line = text.slice(0, text.length - text.trimStart().length) + first;
  for (const word of words) {
    if (line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}
