import type { Database } from "@millrace/db";
import { type Flights, flightId, LATE_MINUTES, landingMs } from "@millrace/flight-delays";

const BATCH = 50_000;

/** Puts the flights into a plain table, which is more than fair: SQL gets numbers where the event log holds messages. */
export async function fillFlights(database: Database, flights: Flights): Promise<void> {
  await database.query({
    text: `CREATE UNLOGGED TABLE flights (flight_id text, departure bigint, landing bigint, origin text, destination text,
      distance float8, late int)`,
  });
  for (let from = 0; from < flights.count; from += BATCH) {
    const rows = Array.from({ length: Math.min(BATCH, flights.count - from) }, (_, index) => from + index);
    await database.query({
      text: "INSERT INTO flights SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::float8[], $7::int[])",
      values: [
        rows.map((row) => flightId(flights, row)),
        rows.map((row) => flights.departureMs[row]),
        rows.map((row) => landingMs(flights, row)),
        rows.map((row) => flights.origin[row]),
        rows.map((row) => flights.destination[row]),
        rows.map((row) => flights.distanceMiles[row]),
        rows.map((row) => Number((flights.delayMinutes[row] as number) >= LATE_MINUTES)),
      ],
    });
  }
  await database.query({ text: "ANALYZE flights" });
}

/**
 * The app's eight features by window functions: each flight is two events, a window frame counts whole tiles up to the last one
 * before the row's own, and only departures become rows. Values are equal to the dataset's.
 */
export const FEATURES_BY_SQL = `
  CREATE UNLOGGED TABLE features_by_sql AS
  WITH events AS (
    SELECT flight_id, departure AS at, origin, destination, distance, late, true AS departs FROM flights
    UNION ALL
    SELECT flight_id, landing, origin, destination, distance, late, false FROM flights
  ), windows AS (
    SELECT flight_id, at, distance, late, departs,
      avg(late) FILTER (WHERE NOT departs) OVER (by_origin RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING) AS origin_late_1h,
      avg(late) FILTER (WHERE NOT departs) OVER (by_origin RANGE BETWEEN 72 PRECEDING AND 1 PRECEDING) AS origin_late_6h,
      count(*) FILTER (WHERE departs) OVER (by_origin RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING) AS origin_departures_1h,
      avg(late) FILTER (WHERE NOT departs) OVER (by_destination RANGE BETWEEN 24 PRECEDING AND 1 PRECEDING) AS destination_late_6h,
      avg(late) FILTER (WHERE NOT departs) OVER (by_route RANGE BETWEEN 168 PRECEDING AND 1 PRECEDING) AS route_late_7d
    FROM events
    WINDOW by_origin AS (PARTITION BY origin ORDER BY at / 300000),
      by_destination AS (PARTITION BY destination ORDER BY at / 900000),
      by_route AS (PARTITION BY origin, destination ORDER BY at / 3600000)
  )
  SELECT flight_id AS key, at, destination_late_6h::float8, distance, extract(hour FROM to_timestamp(at / 1000) AT TIME ZONE 'UTC')::float8 AS hour,
    origin_departures_1h::float8, origin_late_1h::float8, origin_late_6h::float8, route_late_7d::float8,
    extract(dow FROM to_timestamp(at / 1000) AT TIME ZONE 'UTC')::float8 AS weekday, late::float8 AS label
  FROM windows WHERE departs`;
