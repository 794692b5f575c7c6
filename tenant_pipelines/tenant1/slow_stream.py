"""A callable that is too slow for ten messages a second: see `mysimbdp demo-alert`."""

from __future__ import annotations

import time
from typing import Any

SLOW_SECONDS = 0.3


def ingest(messages: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Keep the number of each reading, and take too long over it."""
    time.sleep(SLOW_SECONDS * len(messages))
    return {"slow_readings": [{"number": message["number"]} for message in messages]}
