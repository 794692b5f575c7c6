"""What is remembered of a stream app's service: the latest reports, and what is missed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

import attrs

from mysimbdp.streaming import figures
from mysimbdp.streaming.report import Report


class Cause(StrEnum):
    """What is missed: the key of the objective, or the app itself."""

    INGESTION_TIME = "max_average_ingestion_time"
    LAG = "max_lag"
    REJECTS = "max_reject_ratio"
    SILENCE = "max_silence"
    FAILED = "failed"


Ending = Literal["recovered", "stopped", "no longer agreed"]


@attrs.frozen(kw_only=True)
class App:
    """What the platform knows of an app beside its reports.

    Attributes:
        runs: somebody wants it to run, and its tenant may.
        since: when that was said.
        failed: why it ended by itself; None if it did not.

    """

    runs: bool
    since: datetime | None = None
    failed: str | None = None


@attrs.frozen(kw_only=True)
class Breach:
    """An objective that is missed.

    Attributes:
        kept_since: the end of the first window in a row that keeps it again.

    """

    opened_at: datetime
    expected: str
    found: str
    kept_since: datetime | None = None


@attrs.frozen(kw_only=True)
class Opened:
    """A breach begins."""

    cause: Cause
    breach: Breach


@attrs.frozen(kw_only=True)
class Closed:
    """A breach is over."""

    cause: Cause
    breach: Breach
    at: datetime
    ending: Ending
    found: str


Change = Opened | Closed


@attrs.frozen(kw_only=True)
class Account:
    """What is remembered of one app.

    Attributes:
        reports: the latest of each instance, by who measured and its number.
        breaches: those that are open, by cause.

    """

    reports: Mapping[str, Report] = attrs.field(factory=dict)
    breaches: Mapping[Cause, Breach] = attrs.field(factory=dict)

    @property
    def heard_at(self) -> datetime | None:
        """Tell when the latest window ended that the platform measured."""
        return max((one.ended_at for one in figures.measured(self.reports.values())), default=None)
