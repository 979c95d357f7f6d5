export { addToOutbox, OUTBOX_TABLE, Outbox, type OutboxEntry } from "./outbox.ts";
