import { startPlatform } from "./mod.ts";
import { connectBus, eventSubject } from "@millrace/bus";
import { silentLogger } from "@millrace/runtime";
import { applyApp } from "@millrace/app";
import { readFile } from "node:fs/promises";
import { readFlights, Timeline, scheduledEvent, landedEvent } from "@millrace/flight-delays";
import { EventSchema, AcceptedEventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { fromBinary } from "@bufbuild/protobuf";
import { Pool } from "pg";
await using p = await startPlatform({ home: "/tmp/x-home", fresh: true, services: ["ingestion"], fast: true });
await using bus = await connectBus(p.nats("admin"), "x", silentLogger);
await applyApp(bus, await readFile("deploy/apps/flight-delays/app.yaml", "utf8"));
const f = await readFlights(Date.UTC(2001,0,1), Date.UTC(2001,0,3)); const t = new Timeline(f);
let ps = []; let n = 0;
for (let h = t.next(); h; h = t.next()) { const e = h.kind === "landed" ? landedEvent(f, h.flight) : scheduledEvent(f, h.flight); ps.push(bus.publish(eventSubject(e.app, e.type), EventSchema, e, { id: e.id })); n++; if (ps.length > 1000) { await Promise.all(ps); ps = []; } }
await Promise.all(ps);
const pool = new Pool({ connectionString: p.databaseUrl });
let t0 = Date.now(); let c = 0; while (Date.now() - t0 < 60000) { c = Number((await pool.query("select count(*) c from ingestion.event_log")).rows[0].c); const r = Number((await pool.query("select count(*) c from ingestion.not_accepted")).rows[0].c); if (c + r >= n) break; await new Promise(r => setTimeout(r, 200)); }
console.log(n, c, Date.now() - t0);
const rows = (await pool.query("select id, log_sequence, accepted, length(accepted) l from ingestion.event_log order by log_sequence")).rows;
let bad = 0; for (const r of rows) { try { const b: Buffer = r.accepted; let i = 0, len = 0, sh = 0; do { len |= (b[i]! & 127) << sh; sh += 7; } while (b[i++]! & 128); if (len !== b.length - i) throw new Error(`len ${len} vs ${b.length - i}`); const a = fromBinary(AcceptedEventSchema, b.subarray(i)); if (a.event?.id !== r.id) throw new Error("id " + a.event?.id); } catch (e) { if (bad++ < 5) console.log(r.id, r.log_sequence, r.l, String(e), r.accepted.toString("hex").slice(0, 80)); } }
console.log("bad", bad, "of", rows.length);
const cl = connectRpc(EventLogService, p.grpc("ingestion"));
let k = 0; t0 = Date.now(); try { for await (const r of cl.readEvents({ app: "flight-delays" })) k += r.events.length; } catch (e) { console.log(String(e)); } console.log(k, Date.now() - t0);
await pool.end(); process.exitCode = 0; 
