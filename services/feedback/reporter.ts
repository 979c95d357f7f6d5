import { timestampMs } from "@bufbuild/protobuf/wkt";
import { REPORTED_LABEL } from "@millrace/app";
import { type Bus, eventSubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { LabelReport } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type Clock, MillraceError, type Violation } from "@millrace/runtime";
import {
  checkReport,
  eventIdOf,
  fieldOf,
  MAX_REPORTS,
  type ReportedLabel,
  type ReportRules,
  reportedEvent,
  valueOf,
} from "./labelReport.ts";
import { throwViolations } from "./requestRules.ts";

const CONTENT_TYPE = { "Content-Type": "application/protobuf" };

/** Takes labels from callers, and publishes them as events of their app. */
export class Reporter {
  readonly #database: Database;
  readonly #bus: Bus;
  readonly #clock: Clock;

  constructor(database: Database, bus: Bus, clock: Clock) {
    this.#database = database;
    this.#bus = bus;
    this.#clock = clock;
  }

  /**
   * Resolves once all of them are stored on the bus. A call that failed half-way is repeated as a whole: an event is known by its id.
   *
   * @param pathOf where in the request a label stands, for messages
   * @throws `failed_precondition` when the app takes none; `invalid_argument`, `not_found`, `already_exists` with every violation; then none of
   *   them is taken. `unavailable` when the bus does not confirm.
   */
  async report(
    rules: ReportRules,
    reports: readonly LabelReport[],
    pathOf: (place: number) => string,
  ): Promise<ReportedLabel[]> {
    if (!rules.taken) {
      const message = `app ${rules.app} takes no reported labels; set label.reports: true in its file, and apply it`;
      throw new MillraceError("failed_precondition", message);
    }
    if (reports.length > MAX_REPORTS) {
      const description = `labels must be at most ${MAX_REPORTS} in a call, not ${reports.length}`;
      throwViolations([{ field: "labels", reason: "too_many", description }]);
    }
    const nowMs = this.#clock.now();
    throwViolations(reports.flatMap((report, place) => checkReport(report, rules, pathOf(place), nowMs)));
    const keys = await this.#joinKeys(rules.app, reports, pathOf);
    const labels = reports.map((report, place): ReportedLabel => {
      const { id, who, occurredAt } = report;
      const value = valueOf(report, rules);
      const occurredAtMs = occurredAt === undefined ? 0 : timestampMs(occurredAt);
      const joinKey = keys[place] as string;
      return { eventId: eventIdOf("report", id), joinKey, value, source: "report", who, occurredAtMs };
    });
    await this.#checkRepeated(rules.app, labels, pathOf);
    await this.publish(rules, labels);
    return labels;
  }

  async publish(rules: ReportRules, labels: readonly ReportedLabel[]): Promise<void> {
    const subject = eventSubject(rules.app, REPORTED_LABEL);
    await Promise.all(
      labels.map((label) =>
        this.#bus.publish(subject, EventSchema, reportedEvent(label, rules), {
          id: `${rules.app}/${label.eventId}`,
          headers: CONTENT_TYPE,
        }),
      ),
    );
  }

  async #joinKeys(app: string, reports: readonly LabelReport[], pathOf: (place: number) => string): Promise<string[]> {
    const idsOf = (kind: "predictionId" | "requestId"): string[] =>
      reports.flatMap(({ about }) => (about.case === kind ? [about.value] : []));
    const [ids, requestIds] = [idsOf("predictionId"), idsOf("requestId")];
    const rows =
      ids.length + requestIds.length === 0
        ? []
        : await this.#database.query<{ id: string; request_id: string; join_key: string }>({
            name: "join_keys",
            // A request id that the caller did not choose is the prediction's own id.
            text: `SELECT id, request_id, join_key FROM prediction WHERE app = $1 AND id = ANY($2::text[])
              UNION ALL SELECT id, request_id, join_key FROM prediction
              WHERE app = $1 AND request_id <> id AND request_id = ANY($3::text[])`,
            values: [app, [...ids, ...requestIds], requestIds],
          });
    const byId = new Map(rows.map((row) => [row.id, row.join_key]));
    const byRequest = new Map(rows.map((row) => [row.request_id || row.id, row.join_key]));
    const violations: Violation[] = [];
    const keys = reports.map(({ about }, place) => {
      if (about.case === "joinKey") return about.value;
      const key = (about.case === "predictionId" ? byId : byRequest).get(about.value ?? "");
      if (key !== undefined) return key;
      const field = `${pathOf(place)}.${fieldOf(about.case ?? "joinKey")}`;
      const description = `${field}: no prediction ${JSON.stringify(about.value)} is known here; one that was made a moment ago may be on its way: try again`;
      violations.push({ field, reason: "unknown_prediction", description });
      return "";
    });
    if (violations.length > 0) {
      const text = violations.map(({ description }) => description).join("; ");
      throw new MillraceError("not_found", text, { violations, retryAfterMs: 1_000 });
    }
    return keys;
  }

  /** As far back as labels are kept: the event log, which knows ids for longer, drops a repetition without a word. */
  async #checkRepeated(
    app: string,
    labels: readonly ReportedLabel[],
    pathOf: (place: number) => string,
  ): Promise<void> {
    const rows = await this.#database.query<{ event_id: string; value: number; occurred_at: number }>({
      name: "repeated_reports",
      text: `SELECT l.event_id, l.value, l.occurred_at::float8 AS occurred_at
        FROM unnest($2::text[], $3::text[]) AS i (join_key, event_id)
        JOIN label l ON l.app = $1 AND l.join_key = i.join_key AND l.event_id = i.event_id`,
      values: [app, labels.map(({ joinKey }) => joinKey), labels.map(({ eventId }) => eventId)],
    });
    const known = new Map(rows.map((row) => [row.event_id, row]));
    const violations = labels.flatMap(({ eventId, value, occurredAtMs }, place): Violation[] => {
      const before = known.get(eventId);
      if (before === undefined || (before.value === value && before.occurred_at === occurredAtMs)) return [];
      const field = `${pathOf(place)}.id`;
      const description = `${field} was used for another label (${before.value}); a correction needs an id of its own`;
      return [{ field, reason: "id_reused", description }];
    });
    if (violations.length === 0) return;
    const text = violations.map(({ description }) => description).join("; ");
    throw new MillraceError("already_exists", text, { violations });
  }
}
