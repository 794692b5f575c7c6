"""Write a whole sample set into a folder: `python -m mysimbdp.samples FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mysimbdp.samples import public, taxi, violations

DEFAULT_TAXI_ROWS = 100_000


def main(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it does not exist.")],
    taxi_rows: Annotated[
        int, typer.Option(min=1, help="Rows of the taxi file, about 142 bytes each.")
    ] = DEFAULT_TAXI_ROWS,
) -> None:
    """Write taxi trips, public data and one sample for each violation, and list them."""
    console = Console()
    with console.status("Writing the samples…"):
        good = _write_good(folder / "data", taxi_rows)
        bad = _write_violations(folder / "violations")
    console.print(_data_table(good, folder))
    console.print(_violations_table(bad, folder))


def _write_good(folder: Path, taxi_rows: int) -> tuple[Path, ...]:
    written = public.write_public(folder)
    trips = folder / "trips.csv"
    taxi.write_taxi(trips, rows=taxi_rows)
    return (trips, *written)


def _write_violations(folder: Path) -> list[tuple[violations.Sample, Path]]:
    """Give each sample a folder of its own: some of them are about what lies beside a file."""
    written = []
    for sample in violations.SAMPLES:
        place = folder / sample.name.replace(" ", "-").replace(".", "").lower()
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        written.append((sample, sample.make(place)))
    return written


def _data_table(paths: tuple[Path, ...], folder: Path) -> Table:
    table = Table("File", "Bytes", title="Data", title_justify="left")
    table.columns[1].justify = "right"
    for path in paths:
        table.add_row(str(path.relative_to(folder)), f"{path.stat().st_size:,}")
    return table


def _violations_table(samples: list[tuple[violations.Sample, Path]], folder: Path) -> Table:
    table = Table("File", "Stage for", "Outcome", "Why", title="Rules", title_justify="left")
    table.columns[0].overflow = "fold"
    for sample, path in samples:
        table.add_row(
            str(path.relative_to(folder)),
            f"{sample.tenant} {sample.subdirectory}",
            f"{sample.outcome}: {sample.code}" if sample.code else str(sample.outcome),
            sample.why,
        )
    return table


if __name__ == "__main__":
    typer.run(main)
