"""What the stores know that a session's weights are judged against: earlier weights, tickers, approvals.

What belongs here: asking lake and ledger, where there are any; asking creates none. What does not: the judgement
(`signals.guards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from scizor_dagster.config import Config, Portfolio, WeightRules
from scizor_dagster.errors import ConfigError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.stored import stale_symbols
from scizor_dagster.flow.strategies import delivered
from scizor_dagster.ledger.approvals import SignalApproval, approvals_of
from scizor_dagster.ledger.known import admitted_sessions
from scizor_dagster.market_data.reading import instruments, last_closes, ticker_changes
from scizor_dagster.market_data.symbol_reading import symbol_rows
from scizor_dagster.signals.guards import Approved, Background, EarlierWeights, TickerChange
from scizor_dagster.signals.identity import KnownMarket
from scizor_dagster.signals.intake import check_file
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.mapping import IdentifierMap, read_identifier_map
from scizor_dagster.signals.report import SignalReport
from scizor_dagster.signals.spec import NOBODY, Owner


def owner_of(desk: Desk, portfolio: str) -> Owner:
    """What a weight file that names its account or portfolio must name."""
    return Owner(desk.portfolio(portfolio).account, portfolio)


def background(desk: Desk, portfolio: str, entry: StrategyEntry, session: date | None) -> Background:
    """What is known before `session`; without one, only the universe and what was approved."""
    strategy, market = entry.id, desk.portfolio(portfolio).market
    approvals = _approved(desk, portfolio, strategy)
    universe = known_market(desk, market, session, [read_identifier_map(entry)])
    if session is None or not desk.has_lake:
        return Background(portfolio, market=universe, approvals=approvals)
    changes = tuple(TickerChange(symbol, day, new) for symbol, day, new in ticker_changes(desk.lake, market, session))
    return Background(
        portfolio,
        earlier=_traded_before(desk, portfolio, strategy, session),
        taken=_contents_before(desk, strategy, session),
        ticker_changes=changes,
        market=universe,
        approvals=approvals,
    )


def known_market(desk: Desk, market: str, session: date | None, tables: Sequence[IdentifierMap]) -> KnownMarket:
    """What the universe says, and for a session the lake where there is one; else every ticker has a price."""
    universe = desk.instruments(market)
    priced, retired = frozenset(universe), dict[str, str]()
    if session is not None and desk.has_lake:
        before = desk.calendar(market).previous_session(session)
        causes = {row.symbol: row.note for row in symbol_rows(desk.lake, market) if row.note and not row.verified}
        retired = {
            item.symbol: f"is not traded: {causes[item.symbol]}"
            if item.symbol in causes
            else f"is not traded any more on {before}"
            for item in instruments(desk.lake, market, before)
            if not item.tradable
        }
        if any(table.waits_for_prices for table in tables):
            closes = last_closes(desk.lake, market, before)
            priced = frozenset(set(closes["symbol"]) - stale_symbols(desk, market, closes, before))
    sectors = {entry.instrument.symbol: entry.sector for entry in desk.universe(market)}
    return KnownMarket(market, universe, priced, retired, sectors)


def check_weights(
    desk: Desk, portfolio: str | None, entry: StrategyEntry, session: date | None, file: Path | None = None
) -> SignalReport:
    """The report on a weight file as the portfolio would take it: refused, held or accepted.

    Without a portfolio by no portfolio's rules on single weights, against no universe, and against nothing but the
    file itself.

    Raises:
        WeightFileMissing: there is no file.
        NotASession: `session` is none of the market's.
        ConfigError: there is no such portfolio, or none at all.
    """
    rules = _rules_of_nobody(desk.config) if portfolio is None else desk.portfolio(portfolio)
    return check_file(
        entry if portfolio is None or session is None else delivered(desk, portfolio, entry, session),
        desk.calendar(rules.market),
        rules.weights,
        rules.risk.fractional_shares,
        file,
        session=session,
        as_of=rules.signals.as_of,
        max_age_sessions=rules.signals.max_age_sessions,
        known=Background() if portfolio is None else background(desk, portfolio, entry, session),
        owner=NOBODY if portfolio is None else owner_of(desk, portfolio),
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
    return "; ".join(item.text for item in _approved(desk, portfolio, strategy).get((file_hash, session), ()))


def _approved(desk: Desk, portfolio: str, strategy: str) -> dict[tuple[str, date], list[Approved]]:
    found: dict[tuple[str, date], list[Approved]] = {}
    for row in approvals_for(desk, portfolio, strategy):
        approved = Approved(frozenset(row.rules), row.rows_hash, str(row))
        found.setdefault((row.file_hash, row.session), []).append(approved)
    return found


def _traded_before(desk: Desk, portfolio: str, strategy: str, session: date) -> EarlierWeights | None:
    """The strategy's weights by ticker in the last admitted session in which it had a part."""
    if not desk.has_ledger:
        return None
    with desk.ledger.read() as connection:
        admitted = admitted_sessions(connection, desk.portfolio(portfolio).account, portfolio)
    key = [portfolio, strategy]
    with desk.lake.read() as cursor:
        found = cursor.execute(
            "SELECT DISTINCT session FROM target_attribution WHERE portfolio = ? AND strategy = ?", key
        ).fetchall()
        last = max((day for (day,) in found if day < session and day in admitted), default=None)
        if last is None:
            return None
        # An id that was split stands once for each of its instruments, each time with the whole of its weight.
        rows = cursor.execute(
            "SELECT coalesce(nullif(symbol, ''), asset_id) AS name, sum(CAST(weight_stated AS DOUBLE) / parts) FROM "
            "(SELECT *, count(*) OVER (PARTITION BY asset_id, line) AS parts FROM target_attribution "
            "WHERE portfolio = ? AND strategy = ? AND session = ?) GROUP BY name",
            [*key, last],
        ).fetchall()
    return EarlierWeights(last, {str(name): float(weight) for name, weight in rows}, taken=True)


def _contents_before(desk: Desk, strategy: str, session: date) -> dict[str, date]:
    with desk.lake.read() as cursor:
        return dict(
            cursor.execute(
                "SELECT file_hash, max(session) FROM signals WHERE strategy = ? AND session < ? GROUP BY file_hash",
                [strategy, session],
            ).fetchall()
        )
