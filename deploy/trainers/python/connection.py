"""NATS as the user `trainer`: from the environment, else of the system that `npm run up` started (.millrace/endpoints.json)."""

import json
import os
from pathlib import Path

import nats

HOME = Path(os.environ.get("MILLRACE_HOME") or Path(__file__).resolve().parents[3] / ".millrace")


async def connect() -> nats.NATS:
    """NATS_URL, NATS_USER and NATS_PASSWORD, or the local system's."""
    if "NATS_URL" in os.environ:
        server = {
            "url": os.environ["NATS_URL"],
            "user": os.environ.get("NATS_USER", "trainer"),
            "password": os.environ["NATS_PASSWORD"],
        }
    else:
        server = json.loads((HOME / "endpoints.json").read_text())["nats"]["trainer"]
    # Every user sees only the answers below its own inbox.
    return await nats.connect(
        server["url"],
        user=server["user"],
        password=server["password"],
        inbox_prefix=f"_INBOX_{server['user']}".encode(),
        max_reconnect_attempts=-1,
    )
