"""Takes training jobs from Millrace and gives ONNX models back. Usage: python trainer.py [name]

The contract is in proto/millrace/training/v1/external.proto; README.md explains it.
"""

import asyncio
import hashlib
import json
import sys
from datetime import datetime, timezone

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

import dataset
import model
from connection import connect

NAME = sys.argv[1] if len(sys.argv) > 1 else "python"
# After 30 seconds of silence the job is given to another.
HEARTBEAT_SECONDS = 5


async def main() -> None:
    bus = await connect()
    stream = bus.jetstream()
    print(f"waiting for jobs on trainers.jobs.{NAME}", flush=True)
    jobs = await stream.pull_subscribe_bind(durable=NAME, stream="TRAINERS")
    while True:
        try:
            (message,) = await jobs.fetch(1, timeout=30)
        except nats.errors.TimeoutError:
            continue
        except nats.errors.Error:
            # The consumer is made with the first job for this name.
            await asyncio.sleep(1)
            continue
        await handle(stream, message)


async def handle(stream: JetStreamContext, message: Msg) -> None:
    job = json.loads(message.data)
    if datetime.fromisoformat(job["deadline"].replace("Z", "+00:00")) < datetime.now(timezone.utc):
        print(f"{job['id']}: too late, nobody waits for it any more", flush=True)
        await message.ack()
        return
    print(f"{job['id']}: {job['rows']} rows of {job['app']}", flush=True)
    heartbeat = asyncio.create_task(tell_that_it_is_at_work(message))
    try:
        result = await perform(stream, job)
    except Exception as error:  # Whatever it is, the one who asked is told.
        result = {"failure": f"{type(error).__name__}: {error}"}
    finally:
        heartbeat.cancel()
    answer = json.dumps({"id": job["id"], "trainer": job["trainer"], **result}).encode()
    headers = {"Nats-Msg-Id": f"result of {job['id']}", "Content-Type": "application/json"}
    await stream.publish(f"training.results.{job['trainer']}", answer, headers=headers)
    # Only now: until the result is stored, another may have to take the job.
    await message.ack()
    print(f"{job['id']}: {result.get('failure') or result['made_with']}", flush=True)


async def perform(stream: JetStreamContext, job: dict) -> dict:
    features, labels = await dataset.read(stream, job)
    # In a thread of its own, or the heartbeat would stop while it trains.
    onnx, parameters = await asyncio.to_thread(model.train, features, labels, job)
    if len(onnx) > int(job["max_bytes"]):
        raise ValueError(f"the model has {len(onnx)} bytes; at most {job['max_bytes']} are taken")
    sha256 = hashlib.sha256(onnx).hexdigest()
    store = await stream.object_store("trained")
    await store.put(sha256, onnx)
    return {"object": sha256, "sha256": sha256, "made_with": model.MADE_WITH, "parameters": json.dumps(parameters)}


async def tell_that_it_is_at_work(message: Msg) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await message.in_progress()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
