"""Facts, losses and locks of a portfolio as the stores give them, on a small desk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.config import DEFAULT_LIMITS
from scizor_dagster.errors import ConfigError, PriceUnavailable, RiskLimitBreached
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.limits import limits_in_force
from scizor_dagster.flow.measuring import measure_session
from scizor_dagster.flow.money import book_before
from scizor_dagster.flow.quality import Judgement, judged_session, stopping
from scizor_dagster.flow.risk import facts_of, guard_session
from scizor_dagster.flow.second_prices import compare_session
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import trades
from scizor_dagster.market_data.reading import last_closes
from scizor_dagster.market_data.second_source import NO_BAR, SAME_SOURCE
from scizor_dagster.market_data.trading_facts import average_volumes
from scizor_dagster.planning.laws import BookAfter
from scizor_dagster.risk.events import risk_events_of
from scizor_dagster.risk.locks import locks_of
from scizor_dagster.risk.trading_state import TradingState, set_state, states_of
from tests.flow.desks import FIRST, NOW, SECOND, add_action, collected, trade
from tests.projects import project_at, write_universe


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("risk")
    collected(folder)
    return folder


@pytest.fixture
def desk(prepared: Path, tmp_path: Path) -> Desk:
    shutil.copytree(prepared, tmp_path / "desk")
    return _open(tmp_path / "desk")


def _open(folder: Path) -> Desk:
    return Desk(project_at(folder).settings, lambda: NOW)


def with_risk(desk: Desk, **risk: Any) -> Desk:
    """The desk with keys of `risk` replaced; `limits` are given over the defaults."""
    path = desk.settings.config_path
    config = yaml.safe_load(path.read_text())
    if "limits" in risk:
        risk["limits"] = DEFAULT_LIMITS.model_dump() | {"restricted": []} | risk["limits"]
    config["risk"] |= risk
    path.write_text(yaml.safe_dump(config))
    return _open(path.parent)


def _states(ledger: Ledger) -> list[TradingState]:
    with ledger.read() as connection:
        return [row.state for row in states_of(connection, "paper")]


def test_the_facts_are_those_that_the_plan_is_sized_on(desk: Desk) -> None:
    facts = facts_of(desk, "main")(FIRST)
    before = desk.calendar("us").previous_session(FIRST)
    closes = last_closes(desk.lake, "us", before)
    assert facts.equity == book_before(desk, "main", FIRST, closes).valuation.equity == Decimal(100_000)
    assert facts.equity_before == Decimal(100_000)
    assert set(facts.prices) == set(facts.price_ages) == set(facts.daily_volumes) == set(closes["symbol"])
    assert set(facts.price_ages.values()) == {0}
    assert facts.sectors["AAPL"] == "Technology"


def test_the_limit_on_volume_counts_by_the_same_average_as_the_plan(desk: Desk) -> None:
    day = desk.calendar("us").previous_session(FIRST)
    add_action(desk, "AAPL", day, "split", 4.0)
    assert dict(facts_of(desk, "main")(FIRST).daily_volumes) == average_volumes(desk.lake, "us", day)


def test_allowed_names_symbols_and_universe_files_and_nothing_else(desk: Desk) -> None:
    assert limits_in_force(with_risk(desk, limits={"allowed": ["AAPL"]}), "main").allowed == {"AAPL"}
    everything = limits_in_force(with_risk(desk, limits={"allowed": ["universe.csv"]}), "main").allowed
    assert everything == set(desk.instruments("us"))
    for wrong, kind in (("NOPE", "symbol"), ("nope.csv", "file")):
        with pytest.raises(ConfigError, match=f"The {kind} '{wrong}' is not in the universe"):
            limits_in_force(with_risk(desk, limits={"allowed": [wrong]}), "main")


def test_restricted_names_an_instrument_in_any_spelling_of_it_and_one_that_may_appear_later(desk: Desk) -> None:
    universe = desk.settings.config_path.parent / "universe.csv"
    write_universe(universe, ("AAPL", "BRK.B", "MSFT"))
    spelled = {
        "AAPL": "AAPL",
        "AAPL.XNAS": "AAPL",
        "BRK-B": "BRK.B",
        "BRK/B": "BRK.B",
        "BRK-B.XNAS": "BRK.B",
        "LATER": "LATER",
        "LATER.XNYS": "LATER",
    }
    for written, symbol in spelled.items():
        found = limits_in_force(with_risk(desk, limits={"restricted": [written]}), "main").restricted
        assert found == {symbol}, written
    with pytest.raises(ConfigError, match=r"whose universe has AAPL\.XNAS") as caught:
        limits_in_force(with_risk(desk, limits={"restricted": ["AAPL.XNYS"]}), "main")
    assert "risk.limits.restricted" in str(caught.value)


@pytest.mark.parametrize("wrong", ["aapl", "AAPL,MSFT", "", " AAPL", "universe.csv", "*"])
def test_a_restricted_name_that_no_order_can_carry_is_refused_with_its_key(desk: Desk, wrong: str) -> None:
    with pytest.raises(ConfigError, match="is not a ticker") as caught:
        limits_in_force(with_risk(desk, limits={"restricted": [wrong]}), "main")
    assert "restricted" in str(caught.value)
    assert "Use upper-case letters" in str(caught.value)


def test_a_restricted_symbol_is_not_bought_however_it_is_written(desk: Desk) -> None:
    result = trade(with_risk(desk, limits={"restricted": ["MSFT.XNAS"]}), FIRST)
    assert {row.symbol: row.state.value for row in result.orders} == {
        "AAPL": "filled",
        "MSFT": "blocked",
        "NVDA": "filled",
    }


def _second_source(
    desk: Desk,
    factor: float,
    *,
    only: Sequence[str] | None = None,
    synthetic: bool = False,
    adjustment: str | None = None,
) -> Desk:
    """The desk with a second source that does not know NVDA.

    Its closes are `factor` times the first's, of all symbols or `only` some.
    """
    path = desk.settings.config_path
    config = yaml.safe_load(path.read_text())
    config["markets"]["us"]["compare_with"] = {"type": "sample", "seed": 7}
    path.write_text(yaml.safe_dump(config))
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE bars SET synthetic = ? WHERE market = 'us'", [synthetic])
        cursor.execute(
            "INSERT INTO second_bars (market, symbol, session, close, volume, adjustment, source, fetched_at) "
            "SELECT market, symbol, session, CASE WHEN ? OR symbol IN (SELECT unnest(?::VARCHAR[])) THEN close * ? "
            "ELSE close END, volume, coalesce(?, adjustment), 'another', fetched_at "
            "FROM bars WHERE market = 'us' AND symbol <> 'NVDA'",
            [only is None, list(only or ()), factor, adjustment],
        )
    return _open(path.parent)


def test_a_second_sources_closes_of_the_same_session_are_the_second_prices(desk: Desk) -> None:
    assert facts_of(desk, "main")(FIRST).second_prices == {}
    desk = _second_source(desk, 1.25)
    facts = facts_of(desk, "main")(FIRST)
    assert set(facts.second_prices) == set(facts.prices) - {"NVDA"}
    for symbol, price in facts.second_prices.items():
        assert price == pytest.approx(facts.prices[symbol] * Decimal("1.25"), rel=Decimal("1e-12"))
    before = desk.calendar("us").previous_session(FIRST)
    with desk.lake.write() as cursor:
        cursor.execute("DELETE FROM second_bars WHERE session = ? AND symbol = 'AAPL'", [before])
    assert "AAPL" not in facts_of(desk, "main")(FIRST).second_prices, "an older close is no second opinion"


@pytest.mark.parametrize("other", [{"synthetic": True}, {"adjustment": "total_return"}])
def test_made_up_prices_and_those_that_cannot_be_compared_are_no_second_prices(desk: Desk, other: Any) -> None:
    assert facts_of(_second_source(desk, 1.25, **other), "main")(FIRST).second_prices == {}


def test_orders_whose_price_two_sources_disagree_on_are_blocked_and_the_others_go_on(desk: Desk) -> None:
    result = trade(_second_source(desk, 1.1, only=("AAPL", "MSFT")), FIRST)
    assert {row.symbol: row.state.value for row in result.orders} == {
        "AAPL": "blocked",
        "MSFT": "blocked",
        "NVDA": "filled",
    }
    assert "max_price_difference" in result.orders[0].reason


def test_nothing_is_planned_on_prices_that_a_second_source_contradicts_for_most(desk: Desk) -> None:
    with pytest.raises(PriceUnavailable, match="5 of 5 closes differ from a second source"):
        trade(_second_source(desk, 1.1), FIRST)


def _judgements(desk: Desk) -> dict[str, Judgement]:
    session = desk.calendar("us").previous_session(FIRST)
    return {item.name: item for item in judged_session(desk, "us", session)}


def test_a_second_source_that_says_nothing_stops_no_plan_and_is_no_agreement(desk: Desk) -> None:
    assert "two_sources_agree" not in _judgements(desk)
    desk = _second_source(desk, 1.1)
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE bars SET source = 'another' WHERE symbol IN ('AAPL', 'AMZN', 'GOOG')")
    found = _judgements(desk)
    asked = found["the_second_source_has_been_compared"]
    assert not asked.holds
    assert not asked.blocking
    assert asked.detail.startswith("2 of 6 closes of 2025-02-28 could be compared")
    assert f"{SAME_SOURCE} (3); {NO_BAR} (1)" in asked.detail
    assert found["two_sources_agree"].holds, "two closes say nothing about a whole source"
    assert stopping(found.values()) == ()
    assert trade(desk, FIRST).state is ExecutionState.DONE


def test_the_collection_and_a_plan_judge_two_sources_by_one_comparison(desk: Desk) -> None:
    desk = _second_source(desk, 1.1, only=("AAPL", "MSFT"))
    session = desk.calendar("us").previous_session(FIRST)
    beside = compare_session(desk, desk.lake, "us", session)
    assert beside.differing["symbol"].tolist() == ["AAPL", "MSFT"]
    assert set(beside.both["symbol"]) == set(facts_of(desk, "main")(FIRST).second_prices)
    found = _judgements(desk)
    assert found["the_second_source_has_been_compared"].holds
    assert "2 of 5 closes differ" in found["two_sources_agree"].detail


def test_a_plan_that_opens_more_than_the_equity_is_stopped_with_one_row(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_much = BookAfter(*map(Decimal, (120, 130, 100, 100, 20, 30)))
    monkeypatch.setattr("scizor_dagster.flow.trades.stored_book_after", lambda *_: too_much)
    for _ in range(2):
        with pytest.raises(RiskLimitBreached):
            trade(desk, FIRST)
    with desk.ledger.read() as connection:
        (row,) = risk_events_of(connection, "paper", FIRST)
    assert (row.limit, row.client_order_id) == ("plan_fits_the_equity", None)
    assert (row.value, row.threshold) == ("net 120.00, gross 130.00", "net 100.00, gross 100.00")


def test_orders_outside_of_the_allowed_symbols_are_blocked_and_every_order_has_its_row(desk: Desk) -> None:
    result = trade(with_risk(desk, limits={"allowed": ["AAPL"]}), FIRST)
    assert {(row.symbol, row.state.value) for row in result.orders} == {
        ("AAPL", "filled"),
        ("MSFT", "blocked"),
        ("NVDA", "blocked"),
    }
    with desk.ledger.read() as connection:
        rows = risk_events_of(connection, "paper", FIRST, passed=True)
    assert {row.client_order_id for row in rows} == {row.client_order_id for row in result.orders}
    looked_at = next(row.checked for row in rows if row.verdict == "passed")
    assert {"max_leverage", "max_adv_share", "max_price_age_sessions", "buying_power"} <= set(looked_at)


def test_a_halted_portfolio_plans_and_sends_nothing_and_trades_its_next_session_once_resumed(desk: Desk) -> None:
    person: dict[str, Any] = {"reason": "a test", "actor": "ann", "now": NOW}
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.HALTED, **person)
    halted = trade(desk, FIRST)
    assert (halted.state, set(halted.counts)) == (ExecutionState.DONE, {"expired"})
    assert any("scizor resume --portfolio main" in note for note in halted.notes)
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.ACTIVE, **person)
    assert set(trade(desk, SECOND).counts) == {"filled"}


def test_a_loss_reduces_the_portfolio_so_that_a_rebalance_sells_and_buys_nothing(desk: Desk) -> None:
    trade(desk, FIRST)
    assert measure_session(desk, "main", FIRST) is not None
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE performance SET cumulative_return = -0.25")
    result = trade(desk, SECOND)
    assert {(row.side.value, row.state.value) for row in result.orders} == {("sell", "filled"), ("buy", "expired")}
    guard_session(desk, "main", SECOND)
    assert _states(desk.ledger) == [TradingState.REDUCING]
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", "main", TradingState.ACTIVE, reason="seen", actor="ann", now=NOW)
    guard_session(desk, "main", SECOND)
    assert _states(desk.ledger)[-1] is TradingState.ACTIVE, "what a person has resumed stays resumed"


def test_losing_exits_and_a_fall_of_the_equity_become_locks_once(desk: Desk) -> None:
    fall = {"kind": "max_drawdown", "threshold": 0.1, "lookback_sessions": 10, "lock_sessions": 3}
    desk = with_risk(desk, protections=[{"kind": "cooldown", "sessions": 5}, fall])
    for session in (FIRST, SECOND):
        trade(desk, session)
        assert measure_session(desk, "main", session) is not None
    with desk.lake.write() as cursor:
        cursor.execute("UPDATE performance SET cumulative_return = -0.15 WHERE session = ?", [SECOND])
    with desk.ledger.transaction() as connection:
        # MSFT is the one that the second rebalance closes: bought at a price above any.
        dear = trades.update().where(trades.c.symbol == "MSFT", trades.c.side == "buy").values(price=Decimal(10_000))
        connection.execute(dear)
    calendar = desk.calendar("us")
    after = calendar.next_session(SECOND)
    for _ in range(2):
        guard_session(desk, "main", after)
    with desk.ledger.read() as connection:
        locks = {(lock.kind, lock.symbol, lock.from_session) for lock in locks_of(connection, "paper", "main", after)}
    assert locks == {("cooldown", "MSFT", after), ("max_drawdown", None, after)}
