"""The report of a window: its schema, and what is refused."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from mysimbdp.streaming import report, schema

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 10, 0, 12, tzinfo=UTC)
BRIEF = {
    "metrics": {
        "processing_rate": 1,
        "throughput": 2,
        "average_ingestion_time": 0.5,
        "total_ingestion_data_size": 3,
        "total_number_of_messages": 4,
    },
    "timeframe": {
        "ingestion_start_time": "2026-11-23T09:50:00Z",
        "measurement_start_time": "2026-11-23T10:00:00Z",
        "measurement_end_time": "2026-11-23T10:00:10Z",
    },
    "origin": {"streaming_app_id": "weather", "tenant_id": "tenant1"},
}


def encoded(part=None, /, **changes):
    content = copy.deepcopy(BRIEF)
    (content[part] if part else content).update(changes)
    return json.dumps(content).encode()


def test_the_committed_schema_is_that_of_the_model():
    """`mysimbdp check --write-schema` rewrites it."""
    assert (ROOT / schema.METRICS_SCHEMA).read_text() == schema.metrics_schema_text()


def test_the_schema_is_valid_and_accepts_its_own_example():
    generated = schema.metrics_schema()
    jsonschema.Draft202012Validator.check_schema(generated)
    (example,) = generated["examples"]
    assert list(jsonschema.Draft202012Validator(generated).iter_errors(example)) == []
    assert report.decode(json.dumps(example).encode()).app == "weather"


def test_every_figure_of_the_schema_is_described():
    parts = schema.metrics_schema()["$defs"]
    figures = [
        figure
        for name in ("Metrics", "Timeframe", "Origin", "Window")
        for figure in parts[name]["properties"].values()
    ]
    assert len(figures) == 16
    assert all(figure["description"] for figure in figures)


def test_a_report_is_the_same_after_the_way_through_kafka():
    told = report.decode(encoded())
    assert report.decode(report.encode(told)) == told


def test_what_we_publish_keeps_the_schema():
    published = json.loads(report.encode(report.decode(encoded())))
    jsonschema.Draft202012Validator(schema.metrics_schema()).validate(published)


def test_the_three_parts_are_enough_and_further_keys_are_allowed():
    told = report.decode(encoded("metrics", cache_hits=12))
    assert (told.app, told.origin.instance, told.window) == ("weather", 0, None)


@pytest.mark.parametrize("name", ["weather", "tenant1.weather"])
def test_an_app_may_be_named_with_or_without_its_tenant(name):
    assert report.decode(encoded("origin", streaming_app_id=name)).app == "weather"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed|truncated"),
        (b"hello", "malformed"),
        (b"\xff\xfe{}", "malformed|invalid"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `metrics`"),
        (encoded("metrics", throughput="fast"), r"got `str` - at `\$\.metrics\.throughput`"),
        (encoded("metrics", processing_rate=-1), r">= 0.*processing_rate"),
        (encoded("origin", instance=64), r"<= 63.*instance|< 64.*instance"),
        (encoded("timeframe", measurement_end_time="10 o'clock"), "measurement_end_time"),
        (encoded("timeframe", measurement_end_time="2026-11-23T10:00:10"), "timezone"),
        (
            encoded("timeframe", measurement_end_time="2026-11-23T10:00:00Z"),
            "window has no length",
        ),
        (encoded(padding="x" * 70_000), "at most 65,536"),
    ],
)
def test_what_is_no_report_is_refused_with_the_key_that_is_wrong(value, reason):
    with pytest.raises(report.ReportInvalidError, match=reason):
        report.decode(value)


def test_a_tenants_own_report_is_marked_as_its_word_whatever_it_says():
    assert report.decode_own(encoded(source="platform"), "tenant1", NOW).source == "tenant"


def test_a_tenant_cannot_speak_for_another():
    with pytest.raises(report.ReportInvalidError, match=r"expected .*tenant2, found 'tenant1'"):
        report.decode_own(encoded(), "tenant2", NOW)


def test_a_tenants_report_of_the_future_is_refused():
    later = encoded("timeframe", measurement_end_time="2027-01-01T00:00:00Z")
    with pytest.raises(report.ReportInvalidError, match="of the future"):
        report.decode_own(later, "tenant1", NOW)
