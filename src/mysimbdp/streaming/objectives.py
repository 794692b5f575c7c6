"""Compare what a stream app does with what its tenant was promised; pure.

The figures of an app are those of the latest windows of all its instances together. A breach opens
with the first window above the agreed figure. It closes with the second window in a row that keeps
it, so that one lucky window does not end it, nor a figure that swings about the limit make a mail
each time. An app that is stopped on purpose owes nothing: its breaches close at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import attrs

from mysimbdp.agreements.model import Objectives
from mysimbdp.streaming import figures
from mysimbdp.streaming.breaches import (
    Account,
    App,
    Breach,
    Cause,
    Change,
    Closed,
    Ending,
    Opened,
)
from mysimbdp.streaming.figures import Figures
from mysimbdp.streaming.report import Report

#: Of a window's length: how much two windows of one instance may overlap by the clock's inaccuracy.
_OVERLAP = 0.25


def hear(
    account: Account, report: Report, agreed: Objectives, app: App
) -> tuple[Account, list[Change]]:
    """Take in the report of a window; one that was taken in before changes nothing."""
    key = f"{report.source}-{report.origin.instance}"
    known = account.reports.get(key)
    if known is not None and report.ended_at <= known.ended_at:
        return account, []
    reports = figures.fresh({**account.reports, key: report})
    breaches = dict(account.breaches)
    changes: list[Change] = []
    measured = figures.combined(reports.values())
    for cause, verdict in _verdicts(measured, agreed, report, app):
        breach = breaches.get(cause)
        outcome = (
            _kept(breach, cause, verdict, report)
            if verdict.is_kept
            else _missed(breach, cause, verdict, report, opens=app.runs)
        )
        changes += _apply(breaches, cause, outcome)
    return Account(reports=reports, breaches=breaches), changes


def look(
    account: Account, agreed: Objectives, app: App, now: datetime, *, heard_all: bool
) -> tuple[Account, list[Change]]:
    """Take in what no report tells: the time, and the state of the app.

    Args:
        account: what was remembered.
        agreed: the promises.
        app: its state.
        now: the time.
        heard_all: every report that was published is taken in, so that silence is silence.

    """
    breaches = dict(account.breaches)
    changes: list[Change] = []
    for cause, breach in account.breaches.items():
        if ending := _ending(cause, agreed, app):
            changes += _apply(breaches, cause, _closed(cause, breach, now, ending, breach.found))
    for cause, breach in _unheard(account, agreed, app, now, heard_all=heard_all):
        if cause not in breaches:
            changes += _apply(breaches, cause, Opened(cause=cause, breach=breach))
    return attrs.evolve(account, breaches=breaches), changes


@attrs.frozen(kw_only=True)
class _Verdict:
    is_kept: bool
    expected: str
    found: str


def _verdicts(
    measured: Figures, agreed: Objectives, report: Report, app: App
) -> Iterator[tuple[Cause, _Verdict]]:
    """Judge what can be judged; an unknown figure neither opens a breach nor closes it."""
    seconds, lag, ratio = measured.ingestion_seconds, measured.lag, measured.reject_ratio
    time_limit = agreed.max_average_ingestion_time
    if time_limit is not None and seconds is not None:
        kept = seconds <= time_limit.seconds
        yield (
            Cause.INGESTION_TIME,
            _Verdict(
                is_kept=kept,
                expected=f"at most {time_limit} from production to storage, on average",
                found=f"{seconds:,.1f} s",
            ),
        )
    if agreed.max_lag is not None and lag is not None:
        kept = lag <= agreed.max_lag
        expected = f"at most {agreed.max_lag:,} messages waiting"
        yield Cause.LAG, _Verdict(is_kept=kept, expected=expected, found=f"{lag:,} messages")
    if agreed.max_reject_ratio is not None and ratio is not None:
        kept = ratio <= agreed.max_reject_ratio
        expected = f"at most {agreed.max_reject_ratio:.2%} of the messages rejected in a window"
        yield Cause.REJECTS, _Verdict(is_kept=kept, expected=expected, found=f"{ratio:.2%}")
    if report.source != "tenant":
        reports = f"a report at {report.ended_at:%H:%M:%S} UTC"
        yield Cause.SILENCE, _Verdict(is_kept=True, expected="", found=reports)
        if app.failed is None:
            yield Cause.FAILED, _Verdict(is_kept=True, expected="", found="it runs")


def _kept(
    breach: Breach | None, cause: Cause, verdict: _Verdict, report: Report
) -> Breach | Closed | None:
    if breach is None or breach.kept_since is None:
        return breach and attrs.evolve(breach, kept_since=report.ended_at)
    if _began_after(report, breach.kept_since):
        return _closed(cause, breach, report.ended_at, "recovered", verdict.found)
    return breach


def _missed(
    breach: Breach | None, cause: Cause, verdict: _Verdict, report: Report, *, opens: bool
) -> Breach | Opened | None:
    if breach is not None:
        return attrs.evolve(breach, found=verdict.found, kept_since=None)
    if not opens:
        return None
    begun = Breach(opened_at=report.ended_at, expected=verdict.expected, found=verdict.found)
    return Opened(cause=cause, breach=begun)


def _apply(
    breaches: dict[Cause, Breach], cause: Cause, outcome: Breach | Change | None
) -> list[Change]:
    match outcome:
        case None:
            return []
        case Breach():
            breaches[cause] = outcome
            return []
        case Opened():
            breaches[cause] = outcome.breach
        case Closed():
            del breaches[cause]
    return [outcome]


def _unheard(
    account: Account, agreed: Objectives, app: App, now: datetime, *, heard_all: bool
) -> Iterator[tuple[Cause, Breach]]:
    if not app.runs:
        return
    if app.failed is not None:
        yield (
            Cause.FAILED,
            Breach(opened_at=now, expected="a running stream app", found=app.failed),
        )
    elif heard_all and agreed.max_silence is not None:
        heard = max(filter(None, (account.heard_at, app.since)), default=None)
        allowed = timedelta(seconds=agreed.max_silence.seconds)
        if heard is not None and now - heard > allowed:
            yield (
                Cause.SILENCE,
                Breach(
                    opened_at=heard + allowed,
                    expected=f"a report every {agreed.max_silence} at least",
                    found=f"none since {heard:%Y-%m-%d %H:%M:%S} UTC",
                ),
            )


def _ending(cause: Cause, agreed: Objectives, app: App) -> Ending | None:
    if not app.runs:
        return "stopped"
    if cause is not Cause.FAILED and getattr(agreed, cause) is None:
        return "no longer agreed"
    return None


def _began_after(report: Report, moment: datetime) -> bool:
    """Tell whether a whole window lies after `moment`: other instances report in between."""
    return report.timeframe.measurement_start_time >= moment - report.window_length * _OVERLAP


def _closed(cause: Cause, breach: Breach, at: datetime, ending: Ending, found: str) -> Closed:
    return Closed(cause=cause, breach=breach, at=at, ending=ending, found=found)
