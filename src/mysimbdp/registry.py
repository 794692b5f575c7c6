"""The registered tenants: read from the committed tree, published for everybody in one file.

The registrar reads the tree and publishes; DAG files, triggers and tasks read what is published.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pydantic

from mysimbdp import errors, naming
from mysimbdp.agreements import load
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines import vetting
from mysimbdp.pipelines.registration import BatchPipeline, Registration, StreamApp

Pipeline = TypeVar("Pipeline", BatchPipeline, StreamApp)

_TENANT = "a tenant name: 3 to 50 small letters, digits, - and _, not a reserved one"


@attrs.frozen(kw_only=True)
class RegisteredTenant:
    """A tenant as the committed files describe it.

    Attributes:
        problems: why its ingestion is stopped; the agreement and registration beside them are the
            last good ones, or None.
        withdrawn: there is no agreement any more.

    """

    tenant: str
    agreement: Agreement | None
    registration: Registration | None
    problems: tuple[Problem, ...] = ()
    withdrawn: bool = False

    @property
    def stopped(self) -> bool:
        """Tell whether nothing is ingested for this tenant until its files are put right."""
        return bool(self.problems)


def load_tree(home: Path) -> tuple[RegisteredTenant, ...]:
    """Read the agreements and registrations of all tenants, with every problem of each."""
    stems = {path.stem for path in (home / "constraints").glob("[!.]*.yaml")}
    folders = {path.name for path in (home / "tenant_pipelines").glob("[!._]*") if path.is_dir()}
    return tuple(_read_tenant(home, tenant) for tenant in sorted(stems | folders))


def publish(path: Path, tenants: Iterable[RegisteredTenant]) -> None:
    """Put the tenants in place for all readers, by rename; an unchanged file is left alone."""
    entries = {tenant.tenant: _to_entry(tenant) for tenant in tenants}
    text = json.dumps({"tenants": entries}, indent=1) + "\n"
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.rename(path)


def read(path: Path) -> tuple[RegisteredTenant, ...]:
    """Return the published tenants; before the first publication there are none.

    An entry that cannot be read, as another version may have written it, stops that tenant only.

    Raises:
        ConfigurationError: the file is not one that `publish` wrote.

    """
    return tuple(_from_entry(name, entry) for name, entry in _entries(path).items())


def find(path: Path, tenant: str, subdirectory: str) -> tuple[RegisteredTenant, BatchPipeline]:
    """Return a tenant that may ingest, and the pipeline of one of its subdirectories.

    Raises:
        TenantUnknownError: there is no such tenant or subdirectory.
        TenantStoppedError: the tenant's files have problems, or its agreement is withdrawn.

    """
    found, registration = _find_live(path, tenant)
    return found, _pick(registration.batch, tenant, "subdirectory", subdirectory)


def find_stream(path: Path, tenant: str, app: str) -> tuple[RegisteredTenant, StreamApp]:
    """Return a tenant that may ingest, and one of its stream apps.

    Raises:
        TenantUnknownError: there is no such tenant or stream app.
        TenantStoppedError: the tenant's files have problems, or its agreement is withdrawn.

    """
    found, registration = _find_live(path, tenant)
    return found, _pick(registration.streams, tenant, "stream app", app)


def _find_live(path: Path, tenant: str) -> tuple[RegisteredTenant, Registration]:
    entries = _entries(path)
    if tenant not in entries:
        raise errors.TenantUnknownError(
            f"No tenant {tenant} is registered. Commit constraints/{tenant}.yaml and "
            f"tenant_pipelines/{tenant}/, or check the name (mysimbdp tenant list).",
            tenant=tenant,
        )
    found = _from_entry(tenant, entries[tenant])
    if found.stopped or found.registration is None:
        problems = "; ".join(str(problem) for problem in found.problems)
        raise errors.TenantStoppedError(
            f"The ingestion of {tenant} is stopped until its files are put right: {problems}.",
            tenant=tenant,
        )
    return found, found.registration


def _pick(pipelines: Mapping[str, Pipeline], tenant: str, kind: str, name: str) -> Pipeline:
    if name not in pipelines:
        others = f", only {', '.join(pipelines)}" if pipelines else ""
        raise errors.TenantUnknownError(
            f"{tenant} has no {kind} {name}{others}. "
            f"Register it in tenant_pipelines/{tenant}/pipelines.yaml.",
            tenant=tenant,
            name=name,
        )
    return pipelines[name]


def _read_tenant(home: Path, tenant: str) -> RegisteredTenant:
    agreement_file = f"constraints/{tenant}.yaml"
    registration_file = f"tenant_pipelines/{tenant}/pipelines.yaml"
    agreement, registration = None, None
    problems = [*_name_problems(tenant, agreement_file)]
    has_agreement = (home / agreement_file).exists()
    if has_agreement:
        agreement, _, found = load.read(Agreement, home / agreement_file, agreement_file)
        problems += found
    else:
        problems.append(_absent(agreement_file, "the tenant's service agreement"))
    if (home / registration_file).exists():
        path = home / registration_file
        registration, found = vetting.read(path, registration_file, agreement)
        problems += found
    else:
        problems.append(_absent(registration_file, "the tenant's pipelines"))
    return RegisteredTenant(
        tenant=tenant,
        agreement=agreement,
        registration=registration,
        problems=tuple(problems),
        withdrawn=not has_agreement,
    )


def _name_problems(tenant: str, file: str) -> list[Problem]:
    if naming.is_tenant(tenant):
        return []
    return [Problem(file=file, key="", expected=_TENANT, found=repr(tenant))]


def _absent(file: str, what: str) -> Problem:
    return Problem(file=file, key="", expected=f"{what} (add the file)", found="no such file")


def _entries(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_bytes())["tenants"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path) from error
    if not isinstance(entries, dict):
        raise _unusable(path)
    return entries


def _unusable(path: Path) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"The registry {path} cannot be read: expected what the registrar published, found "
        "something else. Remove it; the registrar writes it anew.",
        path=str(path),
    )


def _to_entry(tenant: RegisteredTenant) -> dict[str, Any]:
    return {
        "withdrawn": tenant.withdrawn,
        "agreement": _to_json(tenant.agreement),
        "registration": _to_json(tenant.registration),
        "problems": [attrs.asdict(problem) for problem in tenant.problems],
    }


def _to_json(value: pydantic.BaseModel | None) -> Any:
    # Only what was written: the defaults stay those of the platform that reads it.
    return None if value is None else value.model_dump(mode="json", exclude_unset=True)


def _from_entry(name: str, entry: Any) -> RegisteredTenant:
    try:
        agreement, registration = entry["agreement"], entry["registration"]
        return RegisteredTenant(
            tenant=name,
            agreement=agreement and Agreement.model_validate(agreement),
            registration=registration and Registration.model_validate(registration),
            problems=tuple(Problem(**problem) for problem in entry["problems"]),
            withdrawn=entry["withdrawn"],
        )
    except (pydantic.ValidationError, KeyError, TypeError):
        unreadable = Problem(
            file="registry.json",
            key=name,
            expected="an entry of this version's registrar",
            found="one that cannot be read; restart the registrar",
        )
        return RegisteredTenant(
            tenant=name, agreement=None, registration=None, problems=(unreadable,)
        )
