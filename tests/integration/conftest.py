"""A desk at a real mongod: a tenant of the test's own, with code and files that it chooses."""

import os
import textwrap
import time

import attrs
import pymongo
import pytest

from mysimbdp import naming, registry
from mysimbdp.batch.desk import Desk
from mysimbdp.ledger import Ledger
from mysimbdp.settings import Settings

AGREEMENT = """
data_constraints:
  file_types: [CSV, JSON, XML]
  max_file_size: {max_file_size}
service_agreement:
  max_throughput: {max_throughput}
  max_concurrent_ingestions: {max_concurrent_ingestions}
  storage_space_staging: {storage_space_staging}
  max_memory: {max_memory}
  on_concurrency_limit: {on_concurrency_limit}
contacts: [ops@tenant.example]
"""
DEFAULTS = {
    "max_file_size": "350MB",
    "max_throughput": "500MB/s",
    "max_concurrent_ingestions": 2,
    "storage_space_staging": "0.5GB",
    "max_memory": "1GB",
    "on_concurrency_limit": "queue",
}
OLD_SECONDS = 60


@attrs.define
class Mailbox:
    """Take the place of the mail server, whose own tests are in test_mail_delivery.py."""

    messages: list = attrs.field(factory=list)

    def send(self, message):
        self.messages.append(message)


@attrs.frozen
class Workshop:
    """A desk, and hands to put files in its inbox."""

    desk: Desk
    mailbox: Mailbox

    def land(self, name, content):
        path = self.desk.area.inbox / name
        data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        path.write_bytes(data)
        then = time.time() - OLD_SECONDS
        os.utime(path, (then, then))
        return path

    def documents(self, collection="rows"):
        return list(self.desk.coredms[collection].find().sort("_id"))

    def report(self, ingestion):
        return self.desk.ledger.read(ingestion)


@pytest.fixture
def workshop(mongod, platform_database, tenant_name, tmp_path):
    """Give a function that sets up a tenant: its code, its registration, its agreement."""
    clients = []

    def make(code="def ingest(batch): return batch", *, pipeline=None, script=None, **agreement):
        tenant = tenant_name()
        home, state = tmp_path / "home", tmp_path / "state"
        folder = home / "tenant_pipelines" / tenant
        folder.mkdir(parents=True)
        (home / "constraints").mkdir(exist_ok=True)
        (home / "constraints" / f"{tenant}.yaml").write_text(
            AGREEMENT.format(**DEFAULTS | agreement)
        )
        (folder / "pipeline.py").write_text(textwrap.dedent(script or code))
        entry = "script: pipeline.py" if script else "callable: pipeline:ingest"
        lines = textwrap.indent(textwrap.dedent(pipeline or ""), "    ")
        (folder / "pipelines.yaml").write_text(
            f"batch:\n  files:\n    {entry}\n    collection: rows\n{lines}\n"
        )
        (registered,) = (one for one in registry.load_tree(home) if one.tenant == tenant)
        assert not registered.problems, registered.problems
        url = mongod.add_tenant(tenant)
        clients.append(pymongo.MongoClient(url))
        mailbox = Mailbox()
        desk = Desk(
            settings=Settings(
                home=home,
                state=state,
                mongo_url=None,
                mongo_port=mongod.port,
                airflow_port=1,
                smtp_port=1,
                airflow_url="http://127.0.0.1:1",
            ),
            tenant=registered,
            subdirectory="files",
            pipeline=registered.registration.batch["files"],
            platform=platform_database,
            coredms=clients[-1][naming.database(tenant)],
            mongo_url=url,
            mailer=mailbox,
        )
        desk.area.inbox.mkdir(parents=True)
        Ledger(platform_database).ensure_indexes()
        return Workshop(desk, mailbox)

    yield make
    for client in clients:
        client.close()
