"""Addresses and passwords: from the environment, else of the system that `npm run up` started (.millrace/endpoints.json)."""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("MILLRACE_HOME") or HERE.parents[3] / ".millrace")

# Where README.md has protoc put the generated code.
sys.path.insert(0, str(HERE / "generated"))


def _local():
    return json.loads((HOME / "endpoints.json").read_text())


def gateway_address() -> str:
    """The gateway's gRPC address: GATEWAY_ADDRESS, or the local system's."""
    return os.environ.get("GATEWAY_ADDRESS") or _local()["grpc"]["inference-gateway"]


def producer() -> dict:
    """NATS as the user `producer`: NATS_URL and NATS_PASSWORD, or the local system's."""
    if "NATS_URL" in os.environ:
        return {"url": os.environ["NATS_URL"], "user": "producer", "password": os.environ.get("NATS_PASSWORD")}
    return _local()["nats"]["producer"]
