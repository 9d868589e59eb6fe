"""Runs as one side tells them, made by hand or by chance: books that add up, session after session."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from scizor_dagster.backtest.parity import Deal, Key, Told, ToldDay, ToldOrder
from scizor_dagster.brokers.protocol import Side

FIRST = date(2024, 3, 4)
ZERO = Decimal(0)


def key_of(symbol="A", side=Side.BUY, session=FIRST, leg=1):
    return Key(session, symbol, side, leg, 1)


def order(key, planned, *deals, **said):
    """An order with its fills, each of quantity, price, fee and the market's price."""
    made = tuple(Deal(*(None if item is None else Decimal(item) for item in deal)) for deal in deals)
    given = {"phase": 1, "reason": "rebalance", "reference": Decimal(10), "final": Decimal(planned), "state": "filled"}
    return ToldOrder(key=key, planned=Decimal(planned), deals=made, **{**given, **said})


def run_of(begins, cash, sessions, rates=None):
    """Books that follow from holdings and cash before, and per session: closes, orders, splits and dividends.

    Each of `sessions` has `closes`, and may have `orders`, `splits` (symbol to ratio), `dividends` (symbol to money per
    share). The first has only closes: it is the day before.
    """
    holdings, money = dict(begins), Decimal(cash)
    orders, days = [], []
    for number, session in enumerate(sessions):
        day, income = FIRST + timedelta(days=number - 1), ZERO
        for symbol, ratio in session.get("splits", {}).items():
            holdings[symbol] = holdings.get(symbol, ZERO) * ratio
        for symbol, amount in session.get("dividends", {}).items():
            income += (holdings.get(symbol, ZERO) * amount).quantize(Decimal("0.01"))
        money += income
        for item in session.get("orders", ()):
            orders.append(item)
            for deal in item.deals:
                signed = item.key.side.sign * deal.qty
                holdings[item.key.symbol] = holdings.get(item.key.symbol, ZERO) + signed
                money -= signed * deal.price + deal.fee
        closes = session["closes"]
        equity = money + sum((qty * closes[symbol] for symbol, qty in holdings.items()), ZERO)
        rate = Decimal(1) if rates is None else rates[number]
        days.append(ToldDay(day, money, equity, dict(holdings), closes, income, rate))
    return Told(tuple(orders), tuple(days))


def amounts(low, high, places=2):
    unit = Decimal(1).scaleb(-places)
    return st.integers(int(Decimal(low) / unit), int(Decimal(high) / unit)).map(lambda count: count * unit)


@st.composite
def pairs_of_runs(draw):
    """Two runs of the same sessions on the same prices: other books, orders, fills, fees and rates."""
    symbols, count = ("A", "B", "C"), draw(st.integers(1, 4))
    shared = []
    for _ in range(count + 1):
        shared.append({"closes": {symbol: draw(amounts("0.5", "200")) for symbol in symbols}})
        if len(shared) > 1 and draw(st.booleans()):
            shared[-1]["splits"] = {"A": draw(st.sampled_from([Decimal(2), Decimal("0.5"), Decimal(3)]))}
            shared[-1]["dividends"] = {"B": draw(amounts("0.01", "3"))}
    sides = [_side(draw, symbols, shared) for _ in range(2)]
    rates = [[draw(amounts("0.6", "1.6", 4)) for _ in shared] for _ in range(2)] if draw(st.booleans()) else [None] * 2
    return tuple(run_of(*side, rate) for side, rate in zip(sides, rates, strict=True))


def _side(draw, symbols, shared):
    begins = {symbol: draw(amounts("-50", "50", 3)) for symbol in symbols}
    sessions = [dict(session) for session in shared]
    for number, session in enumerate(sessions[1:]):
        day = FIRST + timedelta(days=number)
        chosen = draw(st.lists(st.sampled_from(symbols), unique=True))
        session["orders"] = [_order(draw, key_of(symbol, draw(st.sampled_from(Side)), day)) for symbol in chosen]
    return begins, draw(amounts("1000", "100000")), sessions


def _order(draw, key):
    deals = []
    for _ in range(draw(st.integers(0, 2))):
        mid = draw(st.one_of(st.none(), amounts("0.5", "200")))
        deals.append((draw(amounts("0.001", "40", 3)), draw(amounts("0.5", "200")), draw(amounts("0", "2")), mid))
    return order(key, draw(amounts("0.001", "80", 3)), *deals)
