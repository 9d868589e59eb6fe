from datetime import date
from decimal import Decimal as D

import pandas as pd
import pytest

from scizor_dagster.analytics.valuation import value_portfolio

MONDAY, TUESDAY = date(2024, 3, 4), date(2024, 3, 5)


def closes(*rows: tuple[str, date, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["symbol", "session", "close"])


def test_equity_is_cash_plus_quantities_at_their_last_close():
    value = value_portfolio(
        {"AAA": D("1.5"), "BBB": D(-2)}, D(1000), closes(("AAA", TUESDAY, 100.1), ("BBB", TUESDAY, 10.0))
    )
    assert (value.equity, value.market_value) == (D("1130.15"), D("130.15"))
    assert [(line.symbol, line.value) for line in value.lines] == [("AAA", D("150.15")), ("BBB", D("-20.0"))]
    assert sum(line.weight for line in value.lines) == pytest.approx(D("130.15") / D("1130.15"))


def test_a_holding_without_a_price_is_named_and_left_out():
    value = value_portfolio({"AAA": D(1), "GONE": D(7)}, D(0), closes(("AAA", TUESDAY, 100.0)))
    assert (value.equity, value.unpriced) == (D(100), ("GONE",))
    assert value.notes == ("GONE: 7 shares have no price and are left out.",)


def test_an_older_close_is_used_and_named():
    value = value_portfolio({"AAA": D(1), "HALT": D(2)}, D(0), closes(("AAA", TUESDAY, 100.0), ("HALT", MONDAY, 5.0)))
    assert (value.equity, value.stale, value.priced_on) == (D(110), ("HALT",), TUESDAY)
    assert value.notes == ("HALT: valued at 5.0 of 2024-03-04, its last close.",)


def test_what_is_not_held_does_not_count():
    value = value_portfolio({"AAA": D(0)}, D(5), closes(("AAA", TUESDAY, 100.0), ("BBB", TUESDAY, 1.0)))
    assert (value.equity, value.lines, value.unpriced, value.stale) == (D(5), (), (), ())


def test_without_any_close_only_cash_counts():
    value = value_portfolio({"AAA": D(1)}, D(5), closes())
    assert (value.equity, value.priced_on, value.unpriced) == (D(5), None, ("AAA",))


def test_weights_of_an_equity_that_is_gone_are_not_invented():
    value = value_portfolio({"AAA": D(1)}, D(-100), closes(("AAA", TUESDAY, 100.0)))
    assert value.lines[0].weight is None
