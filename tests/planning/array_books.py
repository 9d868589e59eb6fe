"""Random books of arrays under random rules, ties among them, and what the exact rules make of the same numbers."""

import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from scizor_dagster.instruments import Instrument
from scizor_dagster.planning import books
from scizor_dagster.planning.kernel_model import REASONS, UNIT
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.planner import _planned
from tests.planning.books import ALPACA_LIKE, SESSION, WHOLE_ONLY, random_rules


class Case(NamedTuple):
    """What `prepare` and `plan_book` are given."""

    instruments: list[Instrument]
    rules: object
    capabilities: object
    currency: str
    weights: np.ndarray
    prices: np.ndarray
    counts: np.ndarray
    session: dict


def case_of(seed: int) -> Case:
    """A book by its seed; a third is made of round numbers, so that limits are met exactly."""
    chance = random.Random(f"arrays {seed}")
    pick = lambda *values: chance.choice(values)  # noqa: E731
    shorts, round_numbers, asx = chance.random() < 0.5, chance.random() < 0.3, chance.random() < 0.2
    size = pick(2, 5, 12)
    symbols = [f"S{number:02}" for number in range(size)]
    rules = _rules(chance, pick, symbols, shorts)
    instruments = [
        Instrument(
            symbol, "XASX" if asx else "XNYS", "AUD" if asx and chance.random() < 0.95 else "USD",
            lot=pick(1, 1, 1, 1, 100) if chance.random() < 0.3 else 1, fractionable=chance.random() < 0.85,
            shortable=chance.random() < 0.85, tradable=chance.random() < 0.97,
        )
        for symbol in symbols
    ]  # fmt: skip
    if round_numbers:
        equity = pick(1_000.0, 100_000.0, 1_000_000.0)
        prices = np.array([pick(0.1, 1.0, 2.0, 5.0, 10.0, 12.5, 25.0) for _ in symbols])
    else:
        equity = round(pick(900, 20_000, 500_000, 10_000_000) * (0.5 + chance.random()), pick(0, 2)) * 1.0
        prices = np.array([max(round(pick(0.4, 9, 90, 900) * (0.2 + chance.random()), 4), 0.01) for _ in symbols])
    weights = _weights(chance, pick, size, shorts, round_numbers, float(rules.max_total_weight))
    counts = np.array(
        [_count(chance, pick, shorts, weights[i] * equity / prices[i], equity / prices[i]) for i in range(size)]
    )
    value = sum(
        (Decimal(int(count)) / UNIT * _number(price) for count, price in zip(counts, prices, strict=True)), Decimal(0)
    )
    equity = max(equity, float(value)) if chance.random() < 0.8 else max(1.0, float(value))
    known = np.where([chance.random() < 0.03 for _ in symbols], np.nan, prices)
    session = {
        "equity": equity,
        "cash": float(_number(equity) - value) if chance.random() < 0.6 else None,
        "previous": np.array(
            [price * pick(1, 1, 1, 1.3, 1.5, 10) if chance.random() < 0.9 else np.nan for price in prices]
        ),
        "volumes": np.array(
            [pick(90.0, 4_000.0, 900_000.0, 123.456) if chance.random() < 0.95 else np.nan for _ in symbols]
        ),
        "kept": np.array([pick(*books.KEPT.values()) if chance.random() < 0.02 else 0 for _ in symbols], dtype=np.int8),
    }
    capabilities = pick(ALPACA_LIKE, ALPACA_LIKE, WHOLE_ONLY)
    return Case(instruments, rules, capabilities, "AUD" if asx else "USD", weights, known, counts, session)


def _rules(chance, pick, symbols, shorts):
    rules = random_rules(chance, shorts)
    if chance.random() < 0.8:
        rules = replace(rules, max_notional_per_order=None, max_share_per_order=None)
    return replace(
        rules,
        band_absolute=pick(Decimal(0), Decimal(0), Decimal("0.002"), Decimal("0.03")),
        band_relative=pick(Decimal(0), Decimal(0), Decimal("0.01"), Decimal("0.2")),
        trade_to=pick("target", "edge"),
        max_turnover=pick(None, None, Decimal("0.1"), Decimal("0.6")),
        max_participation=pick(None, None, Decimal("0.02")),
        max_price_move=pick(None, Decimal("0.5")),
        slippage_allowance_pct=pick(Decimal(0), Decimal(0), Decimal("0.01")),
        max_total_notional=pick(None, None, Decimal(10**6)),
        blacklist=(pick(*symbols),) if chance.random() < 0.1 else (),
        overrides=tuple(
            (symbol, pick("no_buy", "no_sell", "reduce_only", "never_touch"))
            for symbol in symbols
            if chance.random() < 0.1
        ),
        mode_on_buy=pick("market", "limit", "bracket"),
        mode_on_sell=pick("market", "limit"),
    )  # fmt: skip


def _weights(chance, pick, size, shorts, round_numbers, most):
    raw = (
        np.array([chance.randint(-40 if shorts else 0, 100) if chance.random() < 0.8 else 0 for _ in range(size)]) * 1.0
    )
    weights = raw / (np.abs(raw).sum() or 1.0) * pick(0.6, 0.98, 1.0, 1.0, 1.0015) * min(most, 1.0)
    if round_numbers:
        return np.trunc(weights * 100) / 100
    return np.round(weights, 9) if chance.random() < 0.3 else weights


def _count(chance, pick, shorts, wanted, affordable):
    if chance.random() < 0.2:
        return 0
    shares = wanted * pick(1, 1, 0.999, 1.0005, 1.3, 0.5, chance.random() * 3)
    if wanted == 0:
        shares = chance.random() * 0.02 * affordable
    if shorts and chance.random() < 0.1:
        shares = -shares
    decimals = pick(0, 2, 9) if shares > 0 else 0
    return int(Decimal(f"{shares:.{decimals}f}") * UNIT)


def _number(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def exact_plan(book: books.PreparedBook, case: Case) -> Plan:
    """The plan of the same numbers, every row and law of which the exact rules have decided."""
    kept = case.session["kept"]
    columns = {"weight": case.weights, "price": case.prices, "count": case.counts}
    columns |= {"previous": case.session["previous"], "volume": case.session["volumes"]}
    columns |= {"fact": np.where(kept != 0, kept, book.facts)}
    for name, values in columns.items():
        book.columns[name][:] = values
    cash = case.session["cash"]
    book.now["equity"][0], book.now["cash"][0] = case.session["equity"], np.nan if cash is None else cash
    return _planned(replace(books.inputs_of(book), session=SESSION), case.rules, case.capabilities, exactly=True)


def lines_of(plan: Plan) -> dict:
    """Of each symbol its reason, change, what its orders trade, and what they sell before all else."""
    traded, sold = Counter(), Counter()
    for order in plan.orders:
        traded[order.symbol] += order.qty * order.side.sign
        sold[order.symbol] += order.qty if order.phase == 1 else 0
    return {line.symbol: (line.reason, line.delta_qty, traded[line.symbol], sold[line.symbol]) for line in plan.lines}


def decisions_of(case: Case, decided: books.Decisions) -> dict:
    """The same of decided arrays."""
    shares = lambda column: [Decimal(int(count)) / UNIT for count in column]  # noqa: E731
    columns = (decided.codes.tolist(), shares(decided.deltas), shares(decided.trades), shares(decided.sales))
    return {
        instrument.symbol: (REASONS[code], delta, trade, sale)
        for instrument, code, delta, trade, sale in zip(case.instruments, *columns, strict=True)
    }
