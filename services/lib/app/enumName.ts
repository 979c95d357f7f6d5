import type { DescEnum } from "@bufbuild/protobuf";

/** The short name of an enum's value, as the app file writes it: `MEAN` for AGGREGATE_MEAN. */
export function enumName(desc: DescEnum, value: number): string {
  const name = desc.value[value]?.name ?? String(value);
  return name.slice(desc.sharedPrefix?.length ?? 0);
}
