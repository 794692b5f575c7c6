"""A tenant with two stream apps, and a problem that its files may have."""

from pathlib import Path

from mysimbdp import registry
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines.registration import Registration

ROOT = Path(__file__).parents[2]
AGREEMENT = {
    "data_constraints": {"file_types": ["CSV"], "max_file_size": "350MB"},
    "service_agreement": {
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "0.5GB",
        "max_memory": "2GB",
    },
    "plan": "premium",
    "contacts": ["ops@tenant1.example"],
}
STREAMS = {
    "max_publish_rate": "1MB/s",
    "max_consume_rate": "2MB/s",
    "max_instances": 4,
    "retention": "48h",
}
OBJECTIVES = {"max_average_ingestion_time": "5s", "max_lag": 1000, "on_breach": "scale"}
REGISTRATION = {
    "topics": {"readings": {"partitions": 4}},
    "streams": {
        "weather": {
            "topics": ["readings"],
            "callable": "weather:ingest",
            "collections": {"sensors": {"key": "id"}, "readings": {}},
            "instances": 2,
            "window": "10s",
        },
        "blackbox": {
            "topics": ["readings"],
            "script": "box.py",
            "arguments": ["--fast", "1"],
            "group": "own-group",
        },
    },
}
TENANT = registry.RegisteredTenant(
    tenant="tenant1",
    agreement=Agreement.model_validate({**AGREEMENT, "streams": STREAMS, "objectives": OBJECTIVES}),
    registration=Registration.model_validate(REGISTRATION),
)
PROBLEM = Problem(file="constraints/tenant1.yaml", key="plan", expected="a plan", found="'gold'")
