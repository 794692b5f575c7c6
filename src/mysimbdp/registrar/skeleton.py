"""The first files of a new tenant, valid as they are, to be edited and committed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mysimbdp import errors, naming, registry
from mysimbdp.agreements.model import FileType

_AGREEMENT = """\
# yaml-language-server: $schema=agreement.schema.json
# Units are binary: 1GB = 1024MB.
data_constraints:
  file_types: [{file_types}]
  max_file_size: 350MB # no file may exceed it

service_agreement:
  max_throughput: 5MB/s # all ingestions of the tenant together
  max_concurrent_ingestions: 2 # more files wait in the queue
  storage_space_staging: 0.5GB # files that wait or are being ingested
  max_memory: 2GB # of one ingestion

plan: basic # basic, standard or premium
contacts:
  - {contact}
"""

_REGISTRATION = """\
# Subdirectory of the staging area -> the code that ingests its files. See ../README.md.
batch:
  example:
    callable: example:ingest
    batch: records
    collection: example
{xml_row}"""

_XML_ROW = "    xml_row: row # the XML element that is one row\n"

_CODE = '''\
"""What to do with the rows of `example`, before they are stored."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


def ingest(records: list[Record]) -> list[Record]:
    """Store every row as it is; wrangle here, one record out for each record in."""
    return records
'''


def add(home: Path, tenant: str, file_types: Sequence[FileType], contact: str) -> list[Path]:
    """Write the files of a new tenant; return their paths relative to the tree.

    Raises:
        UsageError: the name or a value is not usable, or the tenant exists.

    """
    files = _texts(tenant, file_types, contact)
    _refuse_bad_name(tenant)
    for path in (Path("constraints", f"{tenant}.yaml"), Path("tenant_pipelines", tenant)):
        if (home / path).exists():
            raise errors.UsageError(f"{tenant} exists already: {path} is there.", tenant=tenant)
    with tempfile.TemporaryDirectory() as draft:
        _write(Path(draft), files)
        problems = registry.load_tree(Path(draft))[0].problems
    if problems:
        raise errors.UsageError("; ".join(map(str, problems)), tenant=tenant)
    _write(home, files)
    return list(files)


def _refuse_bad_name(tenant: str) -> None:
    if not naming.is_tenant(tenant):
        raise errors.UsageError(
            f"{tenant!r} cannot be a tenant's name: expected 3 to 50 small letters, digits, - "
            f"and _, a letter first, and none of {', '.join(sorted(naming.RESERVED_TENANTS))}.",
            tenant=tenant,
        )


def _texts(tenant: str, file_types: Sequence[FileType], contact: str) -> dict[Path, str]:
    folder = Path("tenant_pipelines", tenant)
    # A JSON string is a YAML string, whatever is in it.
    agreement = _AGREEMENT.format(
        file_types=", ".join(dict.fromkeys(file_types)), contact=json.dumps(contact)
    )
    xml_row = _XML_ROW if FileType.XML in file_types else ""
    # The agreement comes last: without it the code of a tenant means nothing yet.
    return {
        folder / "example.py": _CODE,
        folder / "pipelines.yaml": _REGISTRATION.format(xml_row=xml_row),
        Path("constraints", f"{tenant}.yaml"): agreement,
    }


def _write(home: Path, files: dict[Path, str]) -> None:
    for path, text in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
