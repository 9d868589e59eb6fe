"""A ledger in which everything has happened once: what verifying and backing up is tried on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill, BrokerIdentity, Side
from scizor_dagster.ledger import api_answers
from scizor_dagster.ledger.api_answers import KeptAnswer
from scizor_dagster.ledger.api_keys import ApiKey, Scope, add_key, note_use, revoke_key
from scizor_dagster.ledger.api_requests import ApiRequest, note_answer, note_request
from scizor_dagster.ledger.approvals import approve
from scizor_dagster.ledger.arming import arm, spend
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.breaks import BreakRow, Looked, record_breaks
from scizor_dagster.ledger.checkpoints import SPACING
from scizor_dagster.ledger.days import record_pass
from scizor_dagster.ledger.deliveries import DeliveryRow, note_delivery
from scizor_dagster.ledger.executions import FillNews, record_fill
from scizor_dagster.ledger.intents import load
from scizor_dagster.ledger.manual_orders import Ask, ask_cancel
from scizor_dagster.ledger.notices import NoticeRow, begin, settle
from scizor_dagster.ledger.plan_approvals import approve_plan
from scizor_dagster.ledger.positions import store_positions
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.strategies import StrategyRow, StrategyState, record_strategy, set_strategy_state
from scizor_dagster.ledger.strategy_code import CodeRow, judge_code, note_code
from scizor_dagster.ledger.strategy_records import (
    ComputedRow,
    RecordAction,
    VersionRow,
    change_record,
    note_computed,
    note_version,
)
from scizor_dagster.planning.model import MANUAL
from scizor_dagster.risk.acceptance import accept_equity
from scizor_dagster.risk.locks import DueLock, store_locks
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.execution.model_broker import ModelBroker
from tests.execution.scenario import (
    MONDAY,
    START,
    TUESDAY,
    D,
    adopt,
    full_plan,
    model,
    order,
    plan_of,
    run,
)


def live_through(ledger: Ledger) -> ModelBroker:
    """Adoptions, a rebalance in two phases with partial fills, a dividend, a past that is kept as a checkpoint, and
    one row of what people decide."""
    plan, held = full_plan()
    for symbol, qty in held.items():
        adopt(ledger, symbol, qty)
    broker = model(ledger, positions={symbol: D(qty) for symbol, qty in held.items()}, steps=5)
    broker.fill_plan = {"AAA": [D("0.5"), D("0.5")]}
    broker.book.activities.append(BrokerActivity("a1", "dividend", MONDAY, "AAA", D("3.20"), None))
    run(ledger, broker, plan)
    with ledger.transaction() as connection:
        _trade_long_ago(connection)
        permission = arm(
            connection, "real", "main", BrokerIdentity("alpaca", "live", "9"), until=START + timedelta(hours=1),
            max_notional=D(5000), currency="USD", actor="ann", reason="a try", now=START,
        )  # fmt: skip
        spend(connection, permission, "SCZ-1", D(100), now=START)
        approve_plan(connection, "paper", "main", TUESDAY, "p" * 64, actor="ann", reason="seen", now=START)
        set_state(connection, "real", None, TradingState.HALTED, reason="a look", actor="ann", now=START)
        seen = StrategyRow("momentum", "m" * 64, "main", "momentum.csv", "trade_session", START, START)
        record_strategy(connection, "paper", seen)
        set_strategy_state(
            connection, "paper", "main", "momentum", StrategyState.PAUSED, actor="ann", reason="a rest", now=START
        )
        record_version(connection)
        ask_over_http(connection)
        _trade_by_hand(connection)
        accept_equity(connection, "paper", "main", TUESDAY, D("10000"), actor="ann", reason="a gift", now=START)
        store_locks(connection, "paper", "main", [DueLock("AAA", "stop", "fell", TUESDAY, TUESDAY)], now=START)
        told = NoticeRow("halt", "account real", "halted", "PHONE", "halted", "by ann", {"by": "ann"})
        begin(connection, told, now=START)
        settle(connection, told, "no answer", now=START)
        record_breaks(connection, Looked("paper", "main", MONDAY, (), ()), [a_break()], now=START)
        record_pass(connection, "paper", "main", MONDAY, second=False, closes=False, now=START)
        record_pass(connection, "paper", "main", MONDAY, second=True, closes=True, now=START)
        approve(
            connection, "paper", "main", "momentum", TUESDAY, "f" * 64,
            rows_hash="r" * 64, rules=["jump"], actor="ann", reason="meant", now=START,
        )  # fmt: skip
    return broker


def record_version(connection: sa.Connection) -> None:
    """A named strategy, the weights that its one version made, and code from outside that may run."""
    version = VersionRow("v" * 64, "momentum", "def weights(): ...", "{}", "daily", START)
    note_version(connection, "paper", version)
    change_record(
        connection,
        "fast",
        RecordAction.CREATED,
        version.version,
        description="",
        actor="ann",
        reason="a try",
        now=START,
    )
    note_code(connection, CodeRow("c" * 64, "fast", "def weights(): ...", "ann", "a try", START))
    judge_code(connection, "c" * 64, approved=True, actor="ben", reason="read", now=START)
    handed = DeliveryRow("momentum", "f" * 64, "momentum/w.csv", 7, "ann", "r1", "c" * 64, START)
    note_delivery(connection, handed)
    made = ComputedRow("momentum", TUESDAY, "f" * 64, version.version, MONDAY, 7, "momentum/w.csv", START)
    note_computed(connection, "paper", made)


def ask_over_http(connection: sa.Connection) -> None:
    """A key, one request with it, and the answer that is kept."""
    scopes, accounts = frozenset({Scope.READ}), frozenset({"paper"})
    expires_at = START + timedelta(days=1)
    add_key(connection, ApiKey("a" * 12, "d" * 64, "ann", scopes, accounts, START, "ben", expires_at))
    path = "/api/orders"
    asked = ApiRequest("r1", START, "a" * 12, "ann", "127.0.0.1", "POST", path, path, "one", "h" * 64, outcome="asked")
    note_answer(connection, note_request(connection, asked), 200, "done", START)
    begun = KeptAnswer("a" * 12, "one", "h" * 64, "holder", START)
    api_answers.begin(connection, begun, lambda _: True)
    api_answers.keep(connection, begun, 200, {"etag": "1"}, "{}", START)
    revoke_key(connection, "a" * 12, actor="ben", reason="lost", now=START)
    note_use(connection, "a" * 12, START)


def _trade_by_hand(connection: sa.Connection) -> None:
    """A manual order, and that somebody wants it back."""
    asked = order("m-ddd", "DDD", Side.BUY, "3")
    plan = replace(plan_of([asked], session=TUESDAY, plan_id="m"), origin=MANUAL)
    ask = Ask("key-1", "main", '{"symbol":"DDD"}', "ann", "a tip", "keep")
    admit(connection, plan, starting_cash=D(1000), now=START, ask=ask)
    ask_cancel(connection, load(connection, "m-ddd"), actor="ann", reason="no more", now=START)


def a_break(**changes: Any) -> BreakRow:
    """A position that differs by two shares."""
    row = BreakRow(
        break_id="0123456789ab", account="paper", portfolio=None, session=MONDAY, found_in="first", stage="positions",
        kind="position_differs", break_class="quantity", symbol="AAA", client_order_id=None, locks="instrument",
        qty=D(2), amount=None, currency=None, value=D(200), cause="nothing explains 2", opened_at=START,
    )  # fmt: skip
    return replace(row, **changes)


def _trade_long_ago(connection: sa.Connection) -> None:
    """Three sessions of an account, of which the first has what a checkpoint is worth."""
    for day, count in ((5, SPACING), (6, 1), (7, 1)):
        for number in range(count):
            name = f"o{day}-{number}"
            said = BrokerFill(f"f{name}", name, "AAA", Side.BUY, D(1), D(90), D("0.1"), date(2026, 1, day), START)
            record_fill(connection, "real", FillNews(said, None), portfolio="main", order_id=None, now=START)
    store_positions(connection, "real", now=START)
