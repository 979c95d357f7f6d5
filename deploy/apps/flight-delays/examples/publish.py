"""Tells that a flight is scheduled. Usage: python publish.py [flight id]"""

import asyncio
import sys
import time

import nats
from endpoints import producer
from google.protobuf.timestamp_pb2 import Timestamp

from millrace.event.v1.event_pb2 import Event, Value


async def main() -> None:
    flight_id = sys.argv[1] if len(sys.argv) > 1 else f"UA-1234-{time.time_ns()}"
    now = Timestamp()
    now.GetCurrentTime()
    event = Event(
        id=f"{flight_id}-scheduled",
        app="flight-delays",
        type="flight.scheduled",
        schema_version=1,
        occurred_at=now,
        fields={
            "flight_id": Value(string_value=flight_id),
            "origin": Value(string_value="ORD"),
            "destination": Value(string_value="LAX"),
            "distance": Value(double_value=1745),
        },
    )
    server = producer()
    # Every user sees only the answers below its own inbox.
    bus = await nats.connect(
        server["url"], user=server["user"], password=server["password"], inbox_prefix=b"_INBOX_producer"
    )
    # Publishing the same id again is harmless: it counts once.
    headers = {"Nats-Msg-Id": event.id, "Content-Type": "application/protobuf"}
    subject = f"events.{event.app}.{event.type}"
    ack = await bus.jetstream().publish(subject, event.SerializeToString(), headers=headers)
    print(f"{event.id}: stream {ack.stream}, sequence {ack.seq}, duplicate {bool(ack.duplicate)}")
    await bus.close()


asyncio.run(main())
