"""Whether what a session needs is there: weights that may be traded, and the prices of the last session.

What belongs here: looking at files and lake, as a run would find them. What does not: taking them in (`signals`,
`markets`), and what became of the session (`watch_trading`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from scizor_dagster.errors import SignalRefused
from scizor_dagster.flow.guards import check_weights
from scizor_dagster.flow.stored import newest_stored_session
from scizor_dagster.flow.watch import Finding, WatchingDesk
from scizor_dagster.signals.readers import WeightFileMissing
from scizor_dagster.signals.report import SignalReport

_NOTHING_FOR_IT = frozenset({"no_rows_for_session"})


@dataclass(frozen=True, slots=True)
class Due:
    """Whether the portfolio has weights for a session, and what is wrong with them."""

    weights: bool
    findings: tuple[Finding, ...]


def weights_due(desk: WatchingDesk, portfolio: str, session: date) -> Due:
    """Judge the weight files as a run of `session` would, by the rules of the portfolio.

    There are weights where any strategy has rows for the session; a strategy that has none then refuses it.
    """
    reports: dict[str, SignalReport] = {}
    findings = []
    for strategy in desk.portfolio(portfolio).signals.ids:
        try:
            reports[strategy] = check_weights(desk, portfolio, desk.manifest.strategy(strategy), session)
        except WeightFileMissing as error:
            findings.append(_finding("weights_missing", str(error.problem), error.remedy, portfolio, session))
        except SignalRefused as error:
            findings.append(_finding("weights_refused", str(error.problem), error.remedy, portfolio, session))
    without = {name for name, item in reports.items() if {row.rule for row in item.violations} == _NOTHING_FOR_IT}
    named = len(reports) > len(without)
    for strategy, report in reports.items():
        if report.status == "accepted" or (strategy in without and not named):
            continue
        refusal = report.refusal()
        kind = "weights_held" if report.status == "held" else "weights_refused"
        findings.append(_finding(kind, refusal.problem, refusal.remedy, portfolio, session))
    return Due(named, tuple(findings))


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


def _finding(kind: str, problem: str, remedy: str, portfolio: str, session: date) -> Finding:
    return Finding(kind, problem, remedy, portfolio=portfolio, session=session)
