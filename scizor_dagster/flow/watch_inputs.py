"""Whether what a session needs is there: weights that may be traded, and the prices of the last session.

What belongs here: looking at files and lake, as a run would find them. What does not: taking them in (`signals`,
`markets`), and what became of the session (`watch_trading`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from statistics import median_high

from scizor_dagster.errors import SESSION_RULES, SignalRefused
from scizor_dagster.flow.guards import check_weights
from scizor_dagster.flow.lifecycle import running_strategies, sells_off
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.flow.watch import Finding, WatchingDesk
from scizor_dagster.flow.weight_files import sessions_named
from scizor_dagster.signals.readers import WeightFileMissing
from scizor_dagster.signals.report import SignalReport

_NO_ROWS = "no_rows_for_session"
_NOTHING_FOR_IT = {"exact": SESSION_RULES, "latest": frozenset({_NO_ROWS})}
"""Rules of a file that is in order and has nothing for the session, by `as_of`; with `latest`, old weights refuse it"""
_STALE = "stale"
_KNOWN_SESSIONS = 7
"""As many of the last sessions that a strategy had weights for say how often it has any."""
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Due:
    """Whether the portfolio has weights for a session, and what is wrong with them."""

    weights: bool
    findings: tuple[Finding, ...]


def weights_due(desk: WatchingDesk, portfolio: str, session: date) -> Due:
    """Judge the weight files as a run of `session` would, by the rules of the portfolio.

    There are weights where any strategy that runs has rows for the session, or one that was stopped is still to be
    sold; a running one that has none then refuses it. The file of a strategy that rests is not read. One that
    rebalances every week has none on most days: its unchanged file is said once newer weights should be there.
    """
    reports: dict[str, SignalReport] = {}
    findings = []
    computed = [name for name in running_strategies(desk, portfolio) if desk.manifest.strategy(name).function]
    for strategy in running_strategies(desk, portfolio):
        if strategy in computed:
            continue
        try:
            reports[strategy] = check_weights(desk, portfolio, desk.manifest.strategy(strategy), session)
        except WeightFileMissing as error:
            findings.append(_finding("weights_missing", str(error.problem), error.remedy, portfolio, session))
        except SignalRefused as error:
            findings.append(_finding("weights_refused", str(error.problem), error.remedy, portfolio, session))
    without = {name for name, item in reports.items() if _has_nothing_for(desk, portfolio, name, item, session)}
    nothing = _NOTHING_FOR_IT[desk.portfolio(portfolio).signals.as_of]
    silent = {name for name, item in reports.items() if item.violations and _rules_of(item) <= nothing}
    # A strategy that computes its weights has none before the run; whether it can is the run's to say.
    due = any(session in sessions_named(desk, portfolio, name) for name in computed)
    named = due or len(reports) > len(silent) or sells_off(desk, portfolio, session)
    for strategy, report in reports.items():
        if report.status == "accepted" or (strategy in without and not named):
            continue
        refusal = report.refusal()
        kind = "weights_held" if report.status == "held" else "weights_refused"
        findings.append(_finding(kind, refusal.problem, refusal.remedy, portfolio, session))
    return Due(named, tuple(findings))


def _has_nothing_for(desk: WatchingDesk, portfolio: str, strategy: str, report: SignalReport, session: date) -> bool:
    """Whether the file does not name the session, and is no older than it usually becomes."""
    rules = {row.rule: row for row in report.violations}
    if set(rules) == {_NO_ROWS}:
        return True
    settings = desk.portfolio(portfolio)
    if set(rules) != {_STALE} or settings.signals.as_of != "exact":
        return False
    newest = date.fromisoformat(rules[_STALE].value or "")
    known = _sessions_with_weights(desk, strategy, session)
    if len(known) < _ENOUGH:
        age = desk.calendar(settings.market).age_in_sessions(newest, session)
        return age <= settings.signals.max_age_sessions
    usual = median_high((later - earlier).days for earlier, later in pairwise(known))
    return (session - newest).days < usual


def _sessions_with_weights(desk: WatchingDesk, strategy: str, session: date) -> list[date]:
    """The last sessions before `session` that weights of the strategy were taken in for, in order."""
    if not desk.has_lake:
        return []
    with desk.lake.read() as cursor:
        rows = cursor.execute(
            "SELECT DISTINCT session FROM signals WHERE strategy = ? AND session < ? ORDER BY session DESC LIMIT ?",
            [strategy, session, _KNOWN_SESSIONS],
        ).fetchall()
    return sorted(day for (day,) in rows)


def missing_prices(desk: WatchingDesk, market: str, now: datetime) -> Iterator[Finding]:
    """The prices of the newest session that must be collected by now."""
    deadlines = desk.deadlines(market)
    session = deadlines.last_due(deadlines.ended_by, now)
    if session < desk.market(market).first_session:
        return
    newest = newest_stored_session(desk, market) if desk.has_lake else None
    if newest is None or newest < session:
        yield Finding(
            "prices_missing",
            f"Market {market} has no prices of {session}; the newest are of {newest or 'no session'}.",
            f"Collect them: scizor collect daily --market {market} --date {session}.",
            session=session,
        )


def _rules_of(report: SignalReport) -> frozenset[str]:
    return frozenset(row.rule for row in report.violations)


def _finding(kind: str, problem: str, remedy: str, portfolio: str, session: date) -> Finding:
    return Finding(kind, problem, remedy, portfolio=portfolio, session=session)
