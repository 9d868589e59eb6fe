"""Results that other engines publish, from their own prices: LEAN to the cent, QSTrader transaction by transaction."""

import csv
import math
import zipfile
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from scizor_dagster.analytics.costs_model import Commission
from scizor_dagster.backtest.model import Costs, History, Schedule
from scizor_dagster.instruments import Instrument
from scizor_dagster.planning.rules import PlanningRules
from tests.backtest.engine_cases import as_it_stands, run  # noqa: F401

pytestmark = pytest.mark.usefixtures("as_it_stands")
IBKR_IN_LEAN = Commission(per_share=0.005, minimum=1.0)


def lean_bars(folder, symbol, first, last):
    """Sessions, and opens and closes as LEAN adjusts them: raw x price factor x split factor of the next factor row."""
    factors = [
        (date.fromisoformat(row[0]), float(row[1]) * float(row[2]))
        for row in csv.reader((folder / "factor_files" / f"{symbol}.csv").read_text().splitlines())
    ]
    with zipfile.ZipFile(folder / "daily" / f"{symbol}.zip") as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    found = {}
    for line in lines:
        cells = line.split(",")
        day = date.fromisoformat(cells[0][:8])
        if first <= day <= last:
            factor = next(factor for until, factor in sorted(factors) if until >= day)
            found[day] = (float(cells[1]) / 10_000 * factor, float(cells[4]) / 10_000 * factor)
    return found


def in_cents(amount):
    return str(Decimal(repr(round(float(amount), 8))).quantize(Decimal("0.01"), ROUND_HALF_UP))


@pytest.mark.parametrize(
    ("algorithm", "weights", "first", "last"),
    [
        ("BasicTemplateDailyAlgorithm", {"SPY": 1.0}, date(2013, 10, 8), date(2013, 10, 17)),
        (
            "SetHoldingReturnsOrderTicketsRegressionAlgorithm", {"IBM": 0.2, "SPY": 0.8},
            date(2018, 1, 4), date(2018, 1, 10),
        ),
    ],
)  # fmt: skip
def test_the_end_equity_and_the_fees_of_lean_come_out_to_the_cent(reference_data, algorithm, weights, first, last):
    """The model: prices adjusted for dividends and splits as LEAN's factor files say; whole shares of target x equity
    less LEAN's free portfolio value of 0.25 %, on the close of the decision bar; fills at the next session's open;
    0.005 per share, at least 1 per order; no buffer beside, no rebalance."""
    expected = {
        row["algorithm"]: row
        for row in csv.DictReader((reference_data / "reference_lean" / "expected_statistics.csv").open())
    }[algorithm]
    bars = {
        symbol: lean_bars(reference_data / "lean_raw_with_actions", symbol.lower(), first, last) for symbol in weights
    }
    sessions = sorted(bars["SPY"])
    prices = np.array([[bars[symbol][day] for symbol in weights] for day in sessions])
    history = History(
        tuple(sessions), tuple(Instrument(symbol, "XNYS", "USD") for symbol in weights), "USD", "total_return",
        close=prices[:, :, 1], open=prices[:, :, 0],
    )  # fmt: skip
    rules = PlanningRules(fractional=False, min_cash_buffer_pct=Decimal("0.0025"))
    schedule = Schedule(np.array([1]), np.array([list(weights.values())]))
    result = run(history, schedule, rules, capital=float(expected["Start Equity"]), costs=Costs(IBKR_IN_LEAN))
    assert in_cents(result.equity[-1]) == expected["End Equity"]
    assert in_cents(result.trades["commission"].sum()) == expected["Total Fees"].strip("$")
    assert len(result.trades) == int(expected["Total Orders"])


def test_every_transaction_and_balance_of_qstraders_sixty_forty_comes_out(reference_data):
    """The model: whole shares of weight x equity less a cash buffer of 5 %, on each Wednesday's close; fills at the
    open of the day after; no fees. QSTrader's calendar has every day as a session, and its money has two decimals."""
    folder = reference_data / "reference_qstrader"
    bars = [list(csv.DictReader((folder / f"{name}.csv").open())) for name in ("ABC", "DEF")]
    sessions = tuple(date.fromisoformat(row["Date"]) for row in bars[0])
    columns = {name: np.array([[float(row[name]) for row in one] for one in bars]).T for name in ("Open", "Close")}
    history = History(
        sessions, tuple(Instrument(name, "XNYS", "USD") for name in ("ABC", "DEF")), "USD", "split",
        close=columns["Close"], open=columns["Open"],
    )  # fmt: skip
    rows = [row + 1 for row, day in enumerate(sessions[:-1]) if day.weekday() == 2]
    schedule = Schedule(np.array(rows), np.tile([0.6, 0.4], (len(rows), 1)))
    rules = PlanningRules(fractional=False, min_cash_buffer_pct=Decimal("0.05"), min_order_notional=Decimal(0))
    result = run(history, schedule, rules, capital=1_000_000.0)
    balance, made = 1_000_000.0, []
    order = sorted(result.trades.tolist(), key=lambda trade: (trade[0], trade[3] > 0, trade[1]))
    for row, column, _, count, _, price, *_ in order:
        shares = count // 10**9
        value = shares * price
        balance -= value
        day, name = sessions[row].strftime("%d/%m/%Y"), "AD"[column] + ("BC" if column == 0 else "EF")
        made.append((day, name, shares, round(price, 2), round(abs(value), 2), round(balance, 2)))
    assert made == [*transactions(folder)]
    assert (result.counts[-1] // 10**9).tolist() == [4674, 1431]
    values = result.counts[-1] / 1e9 * history.close[-1]
    assert values.tolist() == pytest.approx([561680.8382534103, 376203.80367208034], rel=1e-15)
    assert math.isclose(result.equity[-1], result.cash[-1] + values.sum(), rel_tol=1e-15)


def transactions(folder):
    """Day, symbol, signed shares, price, value and balance of each line of QSTrader's history."""
    for row in csv.DictReader((folder / "sixty_forty_history.dat").open()):
        if row["type"] == "asset_transaction":
            side, shares, symbol, price, day = row["description"].split()
            value = float(row["debit"]) or float(row["credit"])
            assert (side == "SHORT") == (float(shares) < 0)
            yield day, symbol.split(":")[1], int(float(shares)), float(price), value, float(row["balance"])
