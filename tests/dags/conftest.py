"""Airflow as the DAG processor has it: our dags and plugins, a home of its own, no database."""

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")

# Airflow reads them once, at its first import.
os.environ["AIRFLOW_HOME"] = HOME.name
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

import attrs  # noqa: E402
import pytest  # noqa: E402
from airflow.dag_processing.dagbag import DagBag  # noqa: E402

from mysimbdp import registry, settings  # noqa: E402
from mysimbdp.agreements.model import Agreement  # noqa: E402
from mysimbdp.pipelines.registration import Registration  # noqa: E402

AGREEMENT = {
    "data_constraints": {"file_types": ["CSV", "JSON"], "max_file_size": "350MB"},
    "service_agreement": {
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "0.5GB",
        "max_memory": "2GB",
    },
    "plan": "premium",
    "contacts": ["ops@tenant1.example"],
}
REGISTRATION = {
    "batch": {
        "taxi": {
            "callable": "taxi:ingest",
            "collection": "trips",
            "formats": ["CSV"],
            "columns": {"vendor_id": "string"},
            "resources": {"memory": "1GB", "timeout": "30m"},
        },
        "blackbox": {"script": "black_box.py", "collection": "scripted"},
    }
}
TENANT = registry.RegisteredTenant(
    tenant="tenant1",
    agreement=Agreement.model_validate(AGREEMENT),
    registration=Registration.model_validate(REGISTRATION),
)


@attrs.frozen
class Parsing:
    """A registry, and a DAG file parsed with it."""

    places: settings.Settings
    file: str = "batch_ingestion.py"

    def __call__(self, *tenants):
        """Publish the tenants and parse; return the DagBag."""
        registry.publish(self.places.registry, tenants)
        return DagBag(dag_folder=str(ROOT / "dags" / self.file))


@pytest.fixture
def parsing(tmp_path, monkeypatch):
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    monkeypatch.setenv("MYSIMBDP_STATE", str(tmp_path / "var"))
    return Parsing(settings.from_environment())


@pytest.fixture
def tenant():
    """Give a live tenant with two subdirectories."""
    return TENANT


@pytest.fixture
def renamed():
    """Give a function that makes the same tenant under other names, or otherwise changed."""
    return lambda **changes: attrs.evolve(TENANT, **changes)
