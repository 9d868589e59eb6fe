"""A person states a split that the broker has carried out and tells nobody of.

What belongs here: when a split may be stated, and its entry, which is the one that a broker's own statement makes. What
does not: positions that are handed over (`adopting`), and suspecting a split (`continuity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerPosition
from scizor_dagster.errors import InputError
from scizor_dagster.flow.continuity import BOOKED_WITHIN
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.following import catch_up, execution_parts
from scizor_dagster.flow.ledger_care import require_ledger
from scizor_dagster.ledger.activities import state_split
from scizor_dagster.ledger.holdings import foreign
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.rows import activities_of, symbols_at_broker
from scizor_dagster.market_data.reading import splits_between

ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class StatedSplit:
    """A split as it was recorded: signed shares of all portfolios of the account, before and after it."""

    symbol: str
    ratio: Decimal
    session: date
    before: Decimal
    after: Decimal


def record_stated_split(
    desk: Desk, portfolio: str, symbol: str, *, ratio: Decimal, ex_session: date | None, actor: str
) -> StatedSplit:
    """Record that `symbol` was split, for every portfolio of the account.

    Args:
        desk: The stores and the brokers.
        portfolio: Any portfolio of the account.
        symbol: As the account has it.
        ratio: New shares for one old one.
        ex_session: The first session in new shares; None for the one that is listed.
        actor: Who states it.

    Raises:
        InputError: there is no ledger, no session is listed or it has not begun, the split is recorded already, an
            order for the symbol is at the broker, or the account does not hold what the split would leave.
        AccountBusy, BrokerUnavailable, WrongAccount: as for every look at an account.
    """
    require_ledger(desk)
    market = desk.portfolio(portfolio).market
    calendar = desk.calendar(market)
    today = calendar.current_session(desk.clock())
    day = ex_session or _listed(desk, market, symbol, ratio, today)
    calendar.require(day)
    if day > today:
        raise InputError(f"{day} has not begun.", remedy="State a split once the account shows it.", where="--date")
    parts = execution_parts(desk, portfolio, "adopt")
    account = parts["account"]
    catch_up(desk, portfolio, calendar.last_closed(desk.clock()))
    with lease(desk.ledger, account, parts["holder"], desk.clock) as held:
        positions = parts["broker"].positions()
        with desk.ledger.transaction() as connection:
            held.guard(connection)
            _refuse_known(connection, account, symbol, day)
            before = _owned(connection, account, symbol, positions)
            state_split(connection, account, symbol, ratio, session=day, actor=actor, now=desk.clock())
            store_positions(connection, account, now=desk.clock())
            after = _owned(connection, account, symbol, positions)
            _require_held(symbol, before, after, positions)
    return StatedSplit(symbol, ratio, day, before, after)


def _listed(desk: Desk, market: str, symbol: str, ratio: Decimal, today: date) -> date:
    rows = splits_between(desk.lake, market, today - BOOKED_WITHIN, today) if desk.has_lake else []
    days = [day for name, day, listed in rows if name == symbol and abs(listed / float(ratio) - 1) < 1e-6]
    if not days:
        raise InputError(
            f"No split of {symbol} by {ratio.normalize():f} is listed through {today}.",
            remedy="Say which session was the first in new shares: --date D.",
            where=symbol,
        )
    return days[-1]


def _refuse_known(connection: sa.Connection, account: str, symbol: str, day: date) -> None:
    if symbol in symbols_at_broker(connection, account):
        raise InputError(
            f"An order for {symbol} is at the broker: what it fills is not known yet.",
            remedy="Wait until it has ended: scizor reconcile.",
            where=symbol,
        )
    rows = activities_of(connection, account, first=day - BOOKED_WITHIN, last=day + BOOKED_WITHIN)
    known = next((row for row in rows if row.kind == "split" and row.symbol == symbol), None)
    if known is not None:
        raise InputError(
            f"A split of {symbol} on {known.session} is recorded: {known.description}.",
            remedy="What still differs is no split: scizor reconcile.",
            where=symbol,
        )


def _owned(connection: sa.Connection, account: str, symbol: str, positions: Sequence[BrokerPosition]) -> Decimal:
    return _held(symbol, positions) - foreign(connection, account, positions).get(symbol, ZERO)


def _held(symbol: str, positions: Sequence[BrokerPosition]) -> Decimal:
    return sum((row.qty for row in positions if row.symbol == symbol), ZERO)


def _require_held(symbol: str, before: Decimal, after: Decimal, positions: Sequence[BrokerPosition]) -> None:
    """The account is in new shares; a fraction of one may have been paid out."""
    held = _held(symbol, positions)
    if after and abs(held - after) < ONE and abs(held - after) < abs(held - before):
        return
    raise InputError(
        f"The portfolios own {before.normalize() + ZERO:f} {symbol}, which the split would make "
        f"{after.normalize() + ZERO:f}, and the account holds {held.normalize() + ZERO:f}.",
        remedy="State a split once the account shows it, and nothing beside it; hand over what is left afterwards.",
        where=symbol,
    )
