"""The metrics log: one CSV row an ingestion, for spreadsheets and shell tools."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import attrs

from mysimbdp.reporting import journal, report

FILE_NAME = "batchingestion_metrics.log"
COLUMNS = ("tenant", "path", "bytes", "start", "end", "duration", "success", "error")


@attrs.frozen
class MetricsLog:
    """The file of all tenants; any number of processes may append at once."""

    path: Path

    def append(self, ingestion: report.IngestionReport) -> None:
        """Add the row of a settled ingestion."""
        journal.append(self.path, _csv_line(ingestion.as_row()), header=_csv_line(COLUMNS))

    def read(self) -> list[dict[str, str]]:
        """Return the rows by column, oldest first; none if nothing was ever settled."""
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                return list(csv.DictReader(file))
        except FileNotFoundError:
            return []


def in_folder(logs: Path) -> MetricsLog:
    """Place the metrics log in the folder of the logs."""
    return MetricsLog(logs / FILE_NAME)


def _csv_line(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
