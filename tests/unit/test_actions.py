"""What the platform does about a breach."""

from datetime import UTC, datetime

import pytest

from mysimbdp.agreements.model import Agreement
from mysimbdp.reporting.alert import Alert, Kind
from mysimbdp.streaming import actions
from mysimbdp.streaming.store import Wish

AGREEMENT = Agreement.model_validate(
    {
        "data_constraints": {"file_types": ["CSV"], "max_file_size": "1MB"},
        "service_agreement": {
            "max_throughput": "5MB/s",
            "max_concurrent_ingestions": 2,
            "storage_space_staging": "1GB",
            "max_memory": "2GB",
        },
        "streams": {"max_publish_rate": "1MB/s", "max_consume_rate": "1MB/s", "max_instances": 3},
        "contacts": ["ops@tenant1.example"],
    }
)


@pytest.mark.parametrize(
    ("on_breach", "cause", "instances", "expected"),
    [
        ("nothing", "max_lag", 1, ("nothing", None)),
        ("restart", "max_silence", 1, ("restart", None)),
        ("stop", "max_reject_ratio", 1, ("stop", None)),
        ("scale", "max_lag", 1, ("scale", 2)),
        ("scale", "max_average_ingestion_time", 2, ("scale", 3)),
        ("scale", "max_lag", 3, ("nothing", None)),
        ("scale", "max_lag", 9, ("nothing", None)),
        ("scale", "max_reject_ratio", 1, ("nothing", None)),
        ("scale", "failed", 1, ("nothing", None)),
    ],
)
def test_the_agreed_action_is_chosen_within_the_agreed_limit(on_breach, cause, instances, expected):
    alert = Alert(
        tenant="tenant1",
        kind=Kind.STREAM,
        name="weather",
        cause=cause,
        expected="",
        found="",
        opened_at=datetime.now(UTC),
        contacts=(),
        on_breach=on_breach,
    )
    action = actions.choose(alert, AGREEMENT, Wish(state="running", instances=instances))
    assert (action.kind, action.instances) == expected
    assert action.text.startswith("It ")
