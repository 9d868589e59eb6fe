"""Which strategies there have been, and which of them trade: the last word counts, and each says why."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategies import (
    StrategyRow,
    StrategyStanding,
    StrategyState,
    known_strategies,
    record_strategy,
    set_strategy_state,
    standings_with_reason,
    strategy_states,
)
from scizor_dagster.ledger.strategy_tables import live_strategies
from scizor_dagster.ledger.tables import events
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
SEEN = StrategyRow("momentum", "m" * 64, "main", "momentum.csv", "trade_session", NOW, NOW)


def _set(ledger: Ledger, state: StrategyState, reason: str = "a rest", **changes: Any) -> StrategyStanding:
    with ledger.transaction() as connection:
        return set_strategy_state(
            connection, "paper", "main", "momentum", state, actor="ann", reason=reason, now=NOW, **changes
        )


def test_the_state_that_was_set_last_is_in_force_in_its_portfolio_alone(ledger: Ledger) -> None:
    _set(ledger, StrategyState.PAUSED)
    stopped = _set(ledger, StrategyState.STOPPED, "no edge", liquidate=True)
    with ledger.read() as connection:
        assert strategy_states(connection, "paper", "main") == {"momentum": stopped}
        assert strategy_states(connection, "paper", "other") == {}
        assert verify(connection) == []
        rows = connection.execute(sa.select(live_strategies).order_by(live_strategies.c.number)).all()
        said = connection.execute(sa.select(events.c.payload).where(events.c.kind == "strategy_state")).scalars()
        assert [json.loads(payload)["number"] for payload in said] == [row.number for row in rows] == [1, 2]
    assert stopped.sentence == (
        "Strategy momentum is stopped since 2026-03-04T21:00:00+00:00 by ann, its positions are sold: no edge"
    )


def test_a_state_is_found_again_by_its_reason_whatever_was_set_since(ledger: Ledger) -> None:
    paused = _set(ledger, StrategyState.PAUSED, "a rest [key/1]")
    _set(ledger, StrategyState.RUNNING, "rested")
    with ledger.read() as connection:
        assert standings_with_reason(connection, "momentum", "a rest [key/1]") == [paused]
        assert standings_with_reason(connection, "momentum", "a rest") == []
        assert standings_with_reason(connection, "value", "a rest [key/1]") == []


def test_a_state_without_sales_says_nothing_of_them(ledger: Ledger) -> None:
    paused = _set(ledger, StrategyState.PAUSED)
    assert paused.sentence == "Strategy momentum is paused since 2026-03-04T21:00:00+00:00 by ann: a rest"


def test_a_state_is_not_set_without_a_reason(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="needs a reason"):
        _set(ledger, StrategyState.PAUSED, " ")
    with ledger.read() as connection:
        assert strategy_states(connection, "paper", "main") == {}


def test_a_state_that_is_in_force_is_not_set_again_but_selling_what_is_stopped_is_another_one(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="'momentum' is running already"):
        _set(ledger, StrategyState.RUNNING)
    _set(ledger, StrategyState.STOPPED)
    with pytest.raises(LedgerError, match="'momentum' is stopped already"):
        _set(ledger, StrategyState.STOPPED)
    assert _set(ledger, StrategyState.STOPPED, liquidate=True).liquidate


def test_a_form_that_is_seen_again_is_the_same_row_and_another_form_is_another(ledger: Ledger) -> None:
    again = replace(SEEN, portfolios="main,other", path="new/momentum.csv", last_seen=NOW + timedelta(days=1))
    other = replace(again, manifest_hash="n" * 64, first_seen=again.last_seen)
    with ledger.transaction() as connection:
        for seen in (SEEN, again, other):
            record_strategy(connection, "paper", seen)
        assert known_strategies(connection) == [again, other]
        assert verify(connection) == []
