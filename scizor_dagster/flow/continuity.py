"""Suspected corporate actions: the evidence before a plan, and again before its first order goes out.

What belongs here: asking provider, broker, ledger and lake, once for all instruments that are held, targeted or
about to be ordered. What does not: the judgement (`market_data.continuity`), and what keeps an order back
(`risk.checks`).

Only a price from after the last close and before the close of the session counts: an older one says nothing, and a
session that is traded again later knows nothing of what came after it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.config import UNLIMITED, PaperAccount
from scizor_dagster.flow.desk import Desk
from scizor_dagster.instruments import Instrument
from scizor_dagster.lake.connection import Lake
from scizor_dagster.ledger.breaks import POSITION_DIFFERS, acceptances
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.holdings import A_DAY, foreign
from scizor_dagster.ledger.rows import activities_of, intents_of_session, symbols_at_broker
from scizor_dagster.ledger.states import IntentState
from scizor_dagster.market_data.continuity import Evidence, Floats, MoveLimits, action, judge, renamed
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.reading import last_closes, pending_actions, splits_between
from scizor_dagster.market_data.trading_facts import usual_moves
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Reason
from scizor_dagster.risk.facts import FactsOf, MarketFacts

ZERO = Decimal(0)
BOOKED_WITHIN = timedelta(days=14)
"""Until then a broker has booked a split; what is wrong with a position after that is a break of the reconciliation."""
_NAN = float("nan")
_SUSPECTED = "Nothing is ordered in it: "
_SENTENCE = re.compile(r"Nothing is ordered in it: .*?quality\.max_overnight_move\.")
_UNSENT = (IntentState.HELD, IntentState.READY, IntentState.UNKNOWN)


@dataclass(frozen=True)
class Closes:
    """Prices that size orders, and the session that each is of, by symbol."""

    prices: Mapping[str, float]
    sessions: Mapping[str, date]


@dataclass(frozen=True)
class _Quantities:
    """Signed shares by symbol: `owned` by the account's portfolios, `held` by the broker's account."""

    owned: Mapping[str, Decimal]
    held: Mapping[str, Decimal]
    differences: Mapping[str, Decimal]
    unsettled: Collection[str]


def suspected_actions(
    desk: Desk, lake: Lake, portfolio: str, session: date, closes: Closes, traded: Collection[str]
) -> dict[str, str]:
    """What a plan must leave as it is, of what it would order in, each with the sentence that says why.

    Raises:
        BrokerUnavailable: provider or broker did not answer: nothing is planned on units that nobody has looked at.
    """
    settings = desk.portfolio(portfolio)
    found = _doubted(desk, lake, portfolio, session, closes, traded, _positions(desk, portfolio))
    return {
        symbol: f"{_SUSPECTED}{why}. {_remedy(settings.market, symbol, session)}"
        for symbol, why in found.items()
        if symbol in traded
    }


def suspected_before(desk: Desk, portfolio: str, session: date) -> dict[str, str]:
    """What the stored plan of the session was made with: prices move, and a plan that waits to be sent stays the same.

    What has come up since is asked for again before its orders go out.
    """
    plan = read_plan(desk.lake, portfolio, session)
    lines = plan.lines if plan is not None else ()
    marked = {line.symbol: _SENTENCE.search(line.note) for line in lines if line.reason is Reason.CORPORATE_ACTION}
    return {symbol: found[0] for symbol, found in marked.items() if found is not None}


def watching_units(desk: Desk, portfolio: str, facts: FactsOf) -> FactsOf:
    """The facts with what is doubted of a session's unsent orders; looked at once in a run, before its first send.

    An order is compared in its own units, those of the price that sized it: what has been split since never goes out,
    whoever knows of the split by now.
    """

    @lru_cache(maxsize=4)
    def read(session: date) -> MarketFacts:
        known = facts(session)
        settings = desk.portfolio(portfolio)
        with desk.ledger.read() as connection:
            rows = intents_of_session(connection, settings.account, session)
        prices = {row.symbol: row.price_used for row in rows if row.portfolio == portfolio and row.state in _UNSENT}
        if not prices:
            return known
        priced_on = desk.calendar(settings.market).previous_session(session)
        with desk.lake.pinned() as lake:
            frame = last_closes(lake, settings.market, priced_on)
            pending = pending_actions(lake, settings.market, priced_on, session)
            closes = Closes(
                {symbol: float(price) for symbol, price in prices.items()},
                dict(zip(frame["symbol"], frame["session"], strict=True)),
            )
            found = _doubted(desk, lake, portfolio, session, closes, prices, _positions(desk, portfolio))
        listed = {row["symbol"]: f"{row['kind']} on {row['ex_session']}" for row in pending.to_dict("records")}
        return replace(known, doubted={**found, **listed})

    return read


def _doubted(
    desk: Desk,
    lake: Lake,
    portfolio: str,
    session: date,
    closes: Closes,
    traded: Collection[str],
    positions: Sequence[BrokerPosition],
) -> dict[str, str]:
    settings = desk.portfolio(portfolio)
    listed = splits_between(lake, settings.market, session - BOOKED_WITHIN, session)
    with desk.ledger.read() as connection:
        quantities = _quantities(connection, settings.account, positions)
        splits = _recorded_splits(connection, settings.account, closes.sessions, session)
        splits |= unbooked_splits(connection, settings.account, listed, quantities.owned)
    symbols = sorted(closes.prices.keys() & set(traded))
    evidence = _evidence(desk, lake, settings.market, session, symbols, closes, quantities, positions)
    found = judge(evidence, _limits(desk, settings.market))
    moved = {symbol: qty for symbol, qty in quantities.differences.items() if symbol not in quantities.unsettled}
    announced = _announced(desk, settings.market, session, symbols, closes)
    return {**found, **announced, **renamed(moved, quantities.owned), **splits}


def _positions(desk: Desk, portfolio: str) -> list[BrokerPosition]:
    """The account's positions; a price of the embedded exchange is the lake's, of the day that its clock stands on."""
    settings = desk.portfolio(portfolio)
    found = desk.broker(settings.account, settings.market).positions()
    embedded = isinstance(desk.account(settings.account), PaperAccount)
    return [replace(row, market_price=None) if embedded else row for row in found]


def _quantities(connection: sa.Connection, account: str, positions: Sequence[BrokerPosition]) -> _Quantities:
    """What differs for a reason that is known (an order under way, a person's word) says nothing of units."""
    held = {row.symbol: row.qty for row in positions}
    differences = foreign(connection, account, positions)
    owned = {name: held.get(name, ZERO) - differences.get(name, ZERO) for name in held.keys() | differences.keys()}
    known = set(symbols_at_broker(connection, account))
    for row in acceptances(connection, account):
        if row.symbol and row.kind == POSITION_DIFFERS and row.qty == differences.get(row.symbol):
            known.add(row.symbol)
    return _Quantities(owned, held, differences, known)


def _recorded_splits(
    connection: sa.Connection, account: str, closes: Mapping[str, date], session: date
) -> dict[str, str]:
    """Splits that the broker has booked since an instrument's last close: its price is of the units before them."""
    rows = activities_of(connection, account, first=min(closes.values(), default=session), last=session)
    return {
        row.symbol: f"{action(float(row.qty_factor))} of {row.session}, recorded by the broker since the close of {day}"
        for row in rows
        if row.kind == "split" and row.symbol is not None and row.qty_factor
        if (day := closes.get(row.symbol)) is not None and day < row.session
    }


def unbooked_splits(
    connection: sa.Connection, account: str, listed: Sequence[tuple[str, date, float]], owned: Mapping[str, Decimal]
) -> dict[str, str]:
    """Listed splits of what was held before, and is held in the same quantity now: its price is in new units alone.

    Args:
        connection: The ledger.
        account: The account.
        listed: Symbol, ex session, and new shares per old one.
        owned: Signed shares by symbol that the account's portfolios own together.
    """
    found: dict[str, str] = {}
    for symbol, ex_session, ratio in listed:
        if not owned.get(symbol) or _is_booked(connection, account, symbol, ex_session):
            continue
        before = books_at(connection, account, ex_session - A_DAY).quantities.items()
        if sum((qty for (owner, name), qty in before if owner is not None and name == symbol), ZERO) == owned[symbol]:
            what = f"{action(ratio)} on {ex_session}"
            found[symbol] = f"the {what} is listed, and the broker has not booked it: {owned[symbol]:f} are still owned"
    return found


def _is_booked(connection: sa.Connection, account: str, symbol: str, ex_session: date) -> bool:
    rows = activities_of(connection, account, first=ex_session - BOOKED_WITHIN, last=ex_session + BOOKED_WITHIN)
    return any(row.kind == "split" and row.symbol == symbol for row in rows)


def _evidence(
    desk: Desk,
    lake: Lake,
    market: str,
    session: date,
    symbols: Sequence[str],
    closes: Closes,
    quantities: _Quantities,
    positions: Sequence[BrokerPosition],
) -> Evidence:
    import numpy as np

    newest = {row.symbol: (float(row.market_price), "broker") for row in positions if row.market_price}
    newest |= _quotes(desk, market, session, symbols)
    usual = usual_moves(lake, market, desk.calendar(market).previous_session(session)) if newest else {}
    instruments = desk.instruments(market)
    settled = [symbol not in quantities.unsettled for symbol in symbols]
    return Evidence(
        symbols=symbols,
        reference=np.array([closes.prices[symbol] for symbol in symbols], dtype=float),
        newest=np.array([newest.get(symbol, (_NAN, ""))[0] for symbol in symbols], dtype=float),
        usual=np.array([usual.get(symbol, _NAN) for symbol in symbols], dtype=float),
        owned=_numbers(quantities.owned, symbols, settled),
        held=_numbers(quantities.held, symbols, settled),
        steps=np.array([_smallest_step(instruments.get(symbol)) for symbol in symbols], dtype=float),
        sources={index: newest[symbol][1] for index, symbol in enumerate(symbols) if symbol in newest},
    )


def _numbers(quantities: Mapping[str, Decimal], symbols: Sequence[str], settled: Sequence[bool]) -> Floats:
    import numpy as np

    pairs = zip(symbols, settled, strict=True)
    return np.array([float(quantities.get(symbol, ZERO)) if known else _NAN for symbol, known in pairs], dtype=float)


def _smallest_step(instrument: Instrument | None) -> float:
    return float(instrument.price_step(ZERO)) if instrument is not None else _NAN


def _quotes(desk: Desk, market: str, session: date, symbols: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Prices from after the last close and before the session's, with source and time.

    A source that is on this machine has closed sessions alone. One that answers symbol by symbol is asked once the
    exchange is open: before that it would fetch closes that are stored.
    """
    calendar, now, provider = desk.calendar(market), desk.clock(), desk.provider(market)
    since, until = calendar.close_at(calendar.previous_session(session)), calendar.close_at(session)
    opened = calendar.open_at(session) <= now
    if not symbols or not _is_ahead(desk, market, session) or provider.lookup_calls == "none":
        return {}
    if provider.lookup_calls == "each" and not opened:
        return {}
    return {
        row.symbol: (float(row.price), f"{row.source}, {row.at:%Y-%m-%d %H:%M} UTC")
        for row in provider.latest_prices(symbols, now)
        if since < row.at < until
    }


def _announced(desk: Desk, market: str, session: date, symbols: Sequence[str], closes: Closes) -> dict[str, str]:
    """What the preferred source lists by now, of between an instrument's last close and the session.

    Before the open it is all that tells of a split of what is not held. A source that answers symbol by symbol was
    asked when its list was collected, and is not again.
    """
    provider = desk.provider(market)
    source = provider.sources[0] if isinstance(provider, FallbackMarket) else provider
    if source.lookup_calls != "one" or not _is_ahead(desk, market, session):
        return {}
    dated = {symbol: closes.sessions[symbol] for symbol in symbols if symbol in closes.sessions}
    if not dated:
        return {}
    found: dict[str, str] = {}
    for row in source.corporate_actions(list(dated), min(dated.values()) + A_DAY, session).to_dict("records"):
        day, kind = row["ex_session"].date(), row["kind"]
        # A dividend changes no units, and a source that adjusts its prices for splits has done so to the last close.
        if day > dated[row["symbol"]] and kind != "dividend" and (kind != "split" or source.adjustment == "raw"):
            what = action(row["ratio"]) if kind == "split" else kind.replace("_", "-")
            found[row["symbol"]] = f"{source.name} lists a {what} on {day}, after the close of {dated[row['symbol']]}"
    return found


def splits_listed(desk: Desk, portfolio: str, symbol: str, session: date) -> list[tuple[str, date, float]]:
    """Splits of the symbol that are listed for around `session`, up to the session after it: as `splits_between`.

    The preferred source is asked as well what it lists by now, where that is one question.
    """
    market = desk.portfolio(portfolio).market
    after = desk.calendar(market).next_session(session)
    rows = splits_between(desk.lake, market, session - BOOKED_WITHIN, after) if desk.has_lake else []
    found = {row for row in rows if row[0] == symbol}
    provider = desk.provider(market)
    source = provider.sources[0] if isinstance(provider, FallbackMarket) else provider
    if source.lookup_calls == "one" and _is_ahead(desk, market, after):
        frame = source.corporate_actions([symbol], session + A_DAY, after)
        splits = frame[frame["kind"] == "split"].to_dict("records")
        found |= {(symbol, row["ex_session"].date(), float(row["ratio"])) for row in splits}
    return sorted(found)


def _is_ahead(desk: Desk, market: str, session: date) -> bool:
    """Whether it is after the close before the session, and before the session's own."""
    calendar = desk.calendar(market)
    return calendar.close_at(calendar.previous_session(session)) < desk.clock() < calendar.close_at(session)


def _limits(desk: Desk, market: str) -> MoveLimits:
    quality = desk.market(market).quality
    allowed, most = quality.max_overnight_move, quality.max_price_jump
    return MoveLimits(None if allowed == UNLIMITED else float(allowed), None if most == UNLIMITED else float(most))


def _remedy(market: str, symbol: str, session: date) -> str:
    return (
        f"Find out what it is. A split or rename is planned on once source, broker and ledger have it; a move that is "
        f"right, once the close of {session} is collected (where that is quarantined: scizor prices accept {symbol} "
        f"--market {market} --date {session}), or before by markets.{market}.quality.max_overnight_move."
    )
