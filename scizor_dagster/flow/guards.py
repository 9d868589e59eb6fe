"""What the stores know that a session's weights are judged against: earlier weights, tickers, approvals.

What belongs here: asking lake and ledger, where there are any; asking creates none. What does not: the judgement
(`signals.guards`).
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from scizor_dagster.config import Config, Portfolio, WeightRules
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.approvals import SignalApproval, approvals_of
from scizor_dagster.market_data.reading import ticker_changes
from scizor_dagster.signals.guards import Approved, Background, EarlierWeights, TickerChange
from scizor_dagster.signals.identity import KnownMarket
from scizor_dagster.signals.intake import check_file
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.report import SignalReport


def background(desk: Desk, portfolio: str, strategy: str, session: date | None) -> Background:
    """What is known before `session`; without one, only what was approved."""
    approvals = _approved(desk, portfolio, strategy)
    if session is None or not desk.has_lake:
        return Background(portfolio, approvals=approvals)
    market = desk.portfolio(portfolio).market
    changes = tuple(TickerChange(symbol, day, new) for symbol, day, new in ticker_changes(desk.lake, market, session))
    return Background(
        portfolio,
        earlier=_taken_before(desk, portfolio, strategy, session),
        taken=_contents_before(desk, strategy, session),
        ticker_changes=changes,
        market=KnownMarket(market, desk.instruments(market)) if changes else KnownMarket(),
        approvals=approvals,
    )


def check_weights(
    desk: Desk, portfolio: str | None, entry: StrategyEntry, session: date | None, file: Path | None = None
) -> SignalReport:
    """The report on a weight file as the portfolio would take it: refused, held or accepted.

    Without a portfolio by no portfolio's rules on single weights, and against nothing but the file itself.

    Raises:
        WeightFileMissing: there is no file.
        NotASession: `session` is none of the market's.
        ConfigError: there is no such portfolio, or none at all.
    """
    rules = _rules_of_nobody(desk.config) if portfolio is None else desk.portfolio(portfolio)
    return check_file(
        entry,
        desk.calendar(rules.market),
        rules.weights,
        rules.risk.fractional_shares,
        file,
        session=session,
        as_of=rules.signals.as_of,
        max_age_sessions=rules.signals.max_age_sessions,
        known=Background() if portfolio is None else background(desk, portfolio, entry.id, session),
    )


def _rules_of_nobody(config: Config) -> Portfolio:
    """Market and sums of the first portfolio; what it allows a single weight says nothing of another's strategy."""
    if not config.portfolios:
        raise ConfigError("There is no portfolio.", remedy="Add one under 'portfolios'.", where=config.source)
    first = next(iter(config.portfolios.values()))
    return first.model_copy(update={"weights": WeightRules()})


def approvals_for(desk: Desk, portfolio: str | None = None, strategy: str | None = None) -> list[SignalApproval]:
    """What was approved of held weights, oldest first."""
    if not desk.has_ledger:
        return []
    with desk.ledger.read() as connection:
        return approvals_of(connection, portfolio, strategy)


def approval_text(desk: Desk, portfolio: str, strategy: str, session: date, file_hash: str) -> str:
    """Who approved what of this content in this session, and why; empty where nobody did."""
    approved = _approved(desk, portfolio, strategy).get((file_hash, session))
    return approved.text if approved else ""


def _approved(desk: Desk, portfolio: str, strategy: str) -> dict[tuple[str, date], Approved]:
    found: dict[tuple[str, date], list[SignalApproval]] = {}
    for row in approvals_for(desk, portfolio, strategy):
        found.setdefault((row.file_hash, row.session), []).append(row)
    return {
        key: Approved(frozenset(rule for row in rows for rule in row.rules), "; ".join(map(str, rows)))
        for key, rows in found.items()
    }


def _taken_before(desk: Desk, portfolio: str, strategy: str, session: date) -> EarlierWeights | None:
    """The weights that were last taken: of the content that the portfolio followed, else of the newest one."""
    with desk.lake.read() as cursor:
        last = cursor.execute(
            "SELECT max(session) FROM signals WHERE strategy = ? AND session < ?", [strategy, session]
        ).fetchone()
        if last is None or last[0] is None:
            return None
        key = {"strategy": strategy, "session": last[0], "portfolio": portfolio}
        rows = cursor.execute(
            "WITH contents AS (SELECT s.file_hash, max(s.fetched_at) AS stored_at, s.file_hash IN (SELECT a.file_hash "
            "FROM target_attribution a WHERE a.portfolio = $portfolio AND a.session = $session "
            "AND a.strategy = $strategy) AS followed FROM signals s "
            "WHERE s.strategy = $strategy AND s.session = $session GROUP BY s.file_hash) "
            "SELECT asset_id, weight FROM signals WHERE strategy = $strategy AND session = $session AND file_hash = "
            "(SELECT file_hash FROM contents ORDER BY followed DESC, stored_at DESC, file_hash LIMIT 1)",
            key,
        ).fetchall()
    return EarlierWeights(last[0], {str(name): float(weight) for name, weight in rows}, taken=True)


def _contents_before(desk: Desk, strategy: str, session: date) -> dict[str, date]:
    with desk.lake.read() as cursor:
        return dict(
            cursor.execute(
                "SELECT file_hash, max(session) FROM signals WHERE strategy = ? AND session < ? GROUP BY file_hash",
                [strategy, session],
            ).fetchall()
        )
