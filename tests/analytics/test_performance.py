from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import pandas as pd
import pytest

from scizor_dagster.analytics.performance import (
    COLUMNS,
    SessionFigures,
    began_with,
    equity_curve,
    measure,
    read_performance,
    store_performance,
)
from scizor_dagster.analytics.valuation import value_portfolio
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise

START = date(2024, 3, 4)
NOW = datetime(2024, 3, 8, tzinfo=UTC)
NO_CLOSES = pd.DataFrame({"symbol": [], "session": [], "close": []})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    opened = Lake(LakeLocation.embedded(tmp_path_factory.mktemp("lake")))
    initialise(opened)
    yield opened
    opened.close()


@pytest.fixture
def lake(shared: Lake) -> Lake:
    with shared.write() as cursor:
        cursor.execute("DELETE FROM performance")
    return shared


def figures(day: int, equity: object, flows: object = 0, traded: object = 0, portfolio: str = "main") -> SessionFigures:
    return SessionFigures(
        portfolio=portfolio,
        session=START + timedelta(days=day),
        starting_equity=D(1000),
        flows=D(str(flows)),
        valuation=value_portfolio({}, D(str(equity)), NO_CLOSES),
        fees=D("0.5"),
        traded=D(str(traded)),
        adjustment="raw",
        synthetic=True,
    )


def store(lake: Lake, one: SessionFigures) -> pd.DataFrame:
    row = measure(one, read_performance(lake, one.portfolio))
    store_performance(lake, row, one.starting_equity, NOW)
    return row


def curve_of(*equities: float, flows: tuple[float, ...] = ()) -> pd.DataFrame:
    days = [START + timedelta(days=index) for index in range(len(equities))]
    rows = pd.DataFrame({"session": days, "equity": equities, "flows": flows or [0.0] * len(equities)})
    return equity_curve(rows, 1000.0)


def test_returns_follow_the_equity_and_the_first_one_the_starting_equity():
    curve = curve_of(1100, 990, 1188)
    assert list(curve["return"]) == pytest.approx([0.1, -0.1, 0.2])
    assert list(curve["cumulative_return"]) == pytest.approx([0.1, -0.01, 0.188])
    assert list(curve["drawdown"]) == pytest.approx([0.0, -0.1, 0.0])


def test_a_loss_from_the_start_is_a_drawdown():
    assert list(curve_of(900, 950)["drawdown"]) == pytest.approx([-0.1, -0.05])


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss():
    curve = curve_of(1500, 1000, flows=(500.0, -500.0))
    assert list(curve["cumulative_return"]) == pytest.approx([0.0, 0.0])


def test_after_an_equity_of_zero_there_are_no_returns():
    curve = curve_of(0, 500, 600)
    assert curve["return"].iloc[0] == -1
    assert curve["return"].isna().tolist() == [False, True, False]
    assert curve["cumulative_return"].isna().tolist() == [False, True, True]


def test_a_starting_equity_of_nothing_is_refused():
    with pytest.raises(InputError):
        equity_curve(pd.DataFrame({"session": [START], "equity": [1.0], "flows": [0.0]}), 0.0)


def rows_of(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """Equity, flows, and those of them that are of sessions before."""
    frame = pd.DataFrame(rows, columns=["equity", "flows", "earlier_flows"])
    return frame.assign(session=[START + timedelta(days=index) for index in range(len(rows))])


def test_what_came_in_a_session_that_was_not_measured_has_earned_since_then():
    # 90,000 came on the Friday that nobody measured, and all of it gained 1 % on Monday.
    curve = equity_curve(rows_of((10_000, 0, 0), (100_900, 90_000, 90_000), (151_350, 50_450, 0)), 10_000.0)
    assert list(curve["return"]) == pytest.approx([0, 0.009, 0])
    first = equity_curve(rows_of((1_212, 300, 200)), 1000.0)
    assert list(first["return"]) == pytest.approx([1112 / 1200 - 1])


def test_a_portfolio_that_began_with_nothing_counts_from_what_was_brought_in():
    curve = equity_curve(rows_of((1010, 1000, 0), (1111, 0, 0)), 0.0)
    assert list(curve["return"]) == pytest.approx([0.01, 0.1])


def test_what_the_curve_began_with_stays_though_another_beginning_is_told_later():
    stored = equity_curve(rows_of((1100, 0, 0), (990, 0, 0)), 1000.0)
    for beginning in (8.65, 5000.0, 0.0, -40.0):
        again = equity_curve(pd.concat([stored, rows_of((0, 0, 0), (0, 0, 0), (1188, 0, 0)).tail(1)]), beginning)
        assert list(again["return"]) == pytest.approx([0.1, -0.1, 0.2])
        assert began_with(again, beginning) == pytest.approx(1000)
    assert began_with(stored, 1000.0) == 1000.0
    assert began_with(stored.head(0), 7.0) == 7.0
    assert began_with(equity_curve(rows_of((0, 0, 0)), 50.0), 60.0) == 60.0
    brought = equity_curve(rows_of((1_300, 300, 200)), 1000.0)
    assert began_with(brought, 1.0) == pytest.approx(1000)


def test_a_measured_session_has_every_column_and_its_turnover(lake):
    row = measure(figures(0, 1100, traded=550), read_performance(lake, "main"))
    assert tuple(row.columns) == COLUMNS
    assert row.loc[0, "turnover"] == pytest.approx(0.25)
    assert (row.loc[0, "adjustment"], bool(row.loc[0, "synthetic"])) == ("raw", True)


def test_stored_rows_come_back_in_order_and_by_portfolio(lake):
    store(lake, figures(0, 1100))
    store(lake, figures(1, 990))
    store(lake, figures(0, 77, portfolio="other"))
    frame = read_performance(lake, "main")
    assert list(frame["session"]) == [START, START + timedelta(days=1)]
    assert list(frame["cumulative_return"]) == pytest.approx([0.1, -0.01])
    assert len(read_performance(lake, "main", START)) == 1
    assert read_performance(lake, "nobody").empty


def test_measuring_a_session_again_replaces_it_and_mends_what_follows(lake):
    for day, equity in enumerate((1100, 990, 1188)):
        store(lake, figures(day, equity))
    store(lake, figures(1, 1210))
    frame = read_performance(lake, "main")
    assert list(frame["return"]) == pytest.approx([0.1, 0.1, 1188 / 1210 - 1])
    assert list(frame["cumulative_return"]) == pytest.approx([0.1, 0.21, 0.188])
    assert frame["drawdown"].iloc[2] == pytest.approx(1188 / 1210 - 1)


def test_a_session_measured_late_takes_its_place(lake):
    store(lake, figures(1, 1100))
    store(lake, figures(0, 1050))
    frame = read_performance(lake, "main")
    assert list(frame["return"]) == pytest.approx([0.05, 1100 / 1050 - 1])
    assert frame["cumulative_return"].iloc[1] == pytest.approx(0.1)


def test_storing_twice_changes_nothing(lake):
    store(lake, figures(0, 1100))
    before = read_performance(lake, "main")
    store(lake, figures(0, 1100))
    pd.testing.assert_frame_equal(read_performance(lake, "main"), before)


def test_a_year_of_sessions_ends_where_compounding_says(tmp_path: Path):
    equities = [1000 * 1.001 ** (index + 1) for index in range(252)]
    curve = curve_of(*equities)
    assert curve["cumulative_return"].iloc[-1] == pytest.approx(1.001**252 - 1)
    assert (curve["drawdown"] > -1e-12).all()
