"""What the ledger knows of: accounts, and who did something on them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.ledger.arming import arm
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.known import admitted_sessions, known_portfolios
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import account_clocks
from scizor_dagster.planning.model import MANUAL
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.scenario import MONDAY, START, TUESDAY, plan_of


def test_an_account_is_known_with_whoever_traded_was_stopped_or_was_armed_on_it(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        assert known_portfolios(connection) == {}
        admit(connection, plan_of([]), starting_cash=Decimal(0), now=START)
        words: Any = {"reason": "a look", "actor": "ann", "now": START}
        set_state(connection, "paper", "stopped", TradingState.HALTED, **words)
        set_state(connection, "whole", None, TradingState.HALTED, **words)
        arm(
            connection, "real", "armed", BrokerIdentity("alpaca", "live", "9"), until=START + timedelta(hours=1),
            max_notional=Decimal(1), currency="USD", **words,
        )  # fmt: skip
        connection.execute(account_clocks.insert().values(account="quiet", session=MONDAY))
        assert known_portfolios(connection) == {
            "paper": {"main", "stopped"}, "whole": set(), "real": {"armed"}, "quiet": set(),
        }  # fmt: skip


def test_the_sessions_of_a_portfolio_are_those_of_its_rebalances_unless_manual_orders_are_asked_for(
    ledger: Ledger,
) -> None:
    with ledger.transaction() as connection:
        admit(connection, plan_of([]), starting_cash=Decimal(0), now=START)
        admit(connection, replace(plan_of([], session=TUESDAY), origin=MANUAL), starting_cash=Decimal(0), now=START)
        assert admitted_sessions(connection, "paper", "main") == {MONDAY}
        assert admitted_sessions(connection, "paper", "main", by_hand=True) == {MONDAY, TUESDAY}
