"""Prices and positions: `real_prices`, `current_positions`, `positions_eod`.

What belongs here: their columns and rows. What does not: what was read (`facts`).
"""

from __future__ import annotations

from decimal import Decimal

from scizor_dagster.exports.facts import SessionFacts
from scizor_dagster.exports.values import as_decimal
from scizor_dagster.planning.output_files import FINE
from scizor_dagster.tabular.model import Column, Kind, Row, Table

PRICES = (
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it; one without a price has no row"),
    Column("price", Kind.NUMBER, "reference price that the plan sized on, in `currency`", FINE),
    Column("session", Kind.DATE, "the session that the price is of"),
    Column("source", Kind.TEXT, "provider that gave it"),
    Column("currency", Kind.TEXT, "ISO 4217 code"),
    Column("adjustment", Kind.TEXT, "`raw`, `split` or `total_return`"),
    Column("age", Kind.COUNT, "sessions between the price and the last session closed before the plan; 0 is fresh"),
)
CURRENT = (
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("qty", Kind.NUMBER, "signed shares that the ledger assigns to the portfolio"),
    Column("market_value", Kind.NUMBER, "`qty` times `price`, in `currency`", FINE),
    Column("price", Kind.NUMBER, "last close on or before the session, in `currency`", FINE),
    Column("price_session", Kind.DATE, "the session that the close is of"),
    Column("weight", Kind.NUMBER, "share of the portfolio's equity; none where a holding has no price", FINE),
    Column("currency", Kind.TEXT, "ISO 4217 code"),
)
END_OF_DAY = (
    Column("symbol", Kind.TEXT, "ticker as the exchange writes it"),
    Column("qty", Kind.NUMBER, "signed shares that the ledger assigns to the portfolio"),
    Column("market_value", Kind.NUMBER, "`qty` times `price`, in `currency`", FINE),
    Column("price", Kind.NUMBER, "last close, in `currency`", FINE),
    Column("price_session", Kind.DATE, "the session that the close is of"),
    Column("broker_qty", Kind.NUMBER, "the same shares with the broker's difference in them"),
    Column("target_qty", Kind.NUMBER, "signed shares that the plan wanted"),
    Column("currency", Kind.TEXT, "ISO 4217 code"),
)
_WEIGHT_STEP = Decimal("1e-12")


def real_prices(facts: SessionFacts) -> Table | None:
    """What the plan was priced on, by symbol; None without a plan."""
    plan = facts.plan
    if plan is None:
        return None
    rows: list[Row] = [
        (
            line.symbol, line.price, line.price_session, line.price_source,
            facts.currencies.get(line.symbol, plan.currency), plan.adjustment,
            None if line.price_session is None else facts.price_ages.get(line.price_session),
        )
        for line in plan.lines if line.price is not None
    ]  # fmt: skip
    return Table(PRICES, rows)


def current_positions(facts: SessionFacts) -> Table | None:
    """What the portfolio holds, by symbol, as a file that `scizor plan --positions` reads; None where unknown."""
    if facts.holdings is None:
        return None
    equity = _equity(facts)
    rows = [_position(facts, symbol, qty, equity) for symbol, qty in sorted(facts.holdings.items())]
    return Table(CURRENT, rows)


def positions_eod(facts: SessionFacts) -> Table | None:
    """What the newest reconciliation found held, by symbol; None without one."""
    if not facts.reconciled:
        return None
    rows: list[Row] = [
        (
            row["symbol"], as_decimal(row["qty"]), as_decimal(row["market_value"]), as_decimal(row["price"]),
            row["price_session"], as_decimal(row["broker_qty"]), as_decimal(row["target_qty"]),
            facts.currencies.get(row["symbol"], facts.currency),
        )
        for row in sorted(facts.reconciled[-1].positions, key=lambda row: str(row["symbol"]))
    ]  # fmt: skip
    return Table(END_OF_DAY, rows)


def _position(facts: SessionFacts, symbol: str, qty: Decimal, equity: Decimal | None) -> Row:
    currency, close = facts.currencies.get(symbol, facts.currency), facts.closes.get(symbol)
    if close is None:
        return symbol, qty, None, None, None, None, currency
    value = qty * close.price
    weight = None if equity is None else (value / equity).quantize(_WEIGHT_STEP)
    return symbol, qty, value, close.price, close.session, weight, currency


def _equity(facts: SessionFacts) -> Decimal | None:
    """Cash and the value of every holding; None where one has no price, or there is no equity to have a share of."""
    assert facts.holdings is not None
    if facts.cash is None or any(symbol not in facts.closes for symbol in facts.holdings):
        return None
    value = sum((qty * facts.closes[symbol].price for symbol, qty in facts.holdings.items()), Decimal(0))
    equity = facts.cash + value
    return equity if equity > 0 else None
