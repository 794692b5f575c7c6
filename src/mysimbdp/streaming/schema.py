"""The JSON Schema of a report, generated from the model, for tenants and their tools."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from mysimbdp.streaming.report import Report

METRICS_SCHEMA = "constraints/metrics.schema.json"

_EXAMPLE = {
    "metrics": {
        "processing_rate": 102.4,
        "throughput": 23142.4,
        "average_ingestion_time": 0.042,
        "total_ingestion_data_size": 13,
        "total_number_of_messages": 61440,
    },
    "timeframe": {
        "ingestion_start_time": "2026-11-23T09:50:00Z",
        "measurement_start_time": "2026-11-23T10:00:00Z",
        "measurement_end_time": "2026-11-23T10:00:10Z",
    },
    "origin": {"streaming_app_id": "weather", "tenant_id": "tenant1", "instance": 0},
    "window": {
        "messages": 1024,
        "rejected": 0,
        "bytes": 231424,
        "max_ingestion_time": 0.31,
        "lag": 12,
    },
    "source": "platform",
}


def metrics_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a report, with a complete example."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Report),
        "examples": [_EXAMPLE],
    }


def metrics_schema_text() -> str:
    """Write the schema as the committed file holds it."""
    return json.dumps(metrics_schema(), indent=2) + "\n"
