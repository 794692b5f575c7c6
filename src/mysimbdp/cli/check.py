"""`mysimbdp check`: every problem of every committed file at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from mysimbdp import registry, settings
from mysimbdp.agreements import schema
from mysimbdp.agreements.load import Problem
from mysimbdp.pipelines.registration import Registration
from mysimbdp.streaming import schema as streaming_schema

#: The schemas beside the committed files, and what makes each.
_SCHEMAS = {
    schema.AGREEMENT_SCHEMA: schema.agreement_schema_text,
    streaming_schema.METRICS_SCHEMA: streaming_schema.metrics_schema_text,
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    *,
    write_schema: Annotated[
        bool, typer.Option("--write-schema", help=f"Rewrite {' and '.join(_SCHEMAS)} first.")
    ] = False,
) -> None:
    """Check all agreements and registrations; exit 1 if there is any problem.

    Shows each problem with its file and key, what is expected and what is found.
    """
    home = settings.from_environment().home
    if write_schema:
        for file, text in _SCHEMAS.items():
            (home / file).write_text(text())
    tenants = registry.load_tree(home)
    problems = [problem for tenant in tenants for problem in tenant.problems]
    problems += _stale_schemas(home)
    # One line each, never folded or cut: the output is also read by programs.
    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        console.print(_line(problem))
    if problems:
        files = len({problem.file for problem in problems})
        console.print(f"{_count(len(problems), 'problem')} in {_count(files, 'file')}.")
        raise typer.Exit(1)
    console.print(_success(tenants))


def _stale_schemas(home: Path) -> Iterator[Problem]:
    for file, text in _SCHEMAS.items():
        path = home / file
        if path.exists() and path.read_text() != text():
            yield Problem(
                file=file,
                key="",
                expected="the schema of this version (mysimbdp check --write-schema)",
                found="another one",
            )


def _line(problem: Problem) -> Text:
    parts: list[str | tuple[str, str]] = [(problem.file, "bold"), ": "]
    if problem.key:
        parts += [(problem.key, "cyan"), ": "]
    return Text.assemble(
        *parts, "expected ", (problem.expected, "green"), ", found ", (problem.found, "red")
    )


def _success(tenants: tuple[registry.RegisteredTenant, ...]) -> str:
    if not tenants:
        return "No tenant is committed yet."
    named = ", ".join(
        f"{tenant.tenant} ({', '.join(_pipelines(tenant.registration))})"
        for tenant in tenants
        if tenant.registration is not None
    )
    return f"All agreements and registrations are valid: {named}."


def _pipelines(registration: Registration) -> list[str]:
    return [*registration.batch, *(f"{app}.stream" for app in registration.streams)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
