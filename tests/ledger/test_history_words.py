"""What each kind of entry of the history says: whoever reads years of it finds the same words from first to last.

An entry may say more in a later release, which is another word here; it says nothing less, and nothing by another name.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from scizor_dagster.brokers.protocol import BrokerIdentity, BrokerOrder, OrderStatus, Side
from scizor_dagster.ledger.absences import record_absence
from scizor_dagster.ledger.arming import arm, disarm
from scizor_dagster.ledger.batches import admit
from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.lease import lease
from scizor_dagster.ledger.plan_approvals import approve_plan, withdraw_unused
from scizor_dagster.ledger.rebuilt import state_cash, take_batch
from scizor_dagster.ledger.rows import intents_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events
from tests.execution.scenario import MONDAY, START, D, order, plan_of
from tests.ledger.lived import live_through

WORDS = {
    "activity_dividend": "activity_id amount description kind qty_factor session symbol",
    "adopted": "actor adoption_id portfolio price qty session symbol",
    "armed": "actor armed broker_account_id currency environment expires_at max_notional number portfolio reason",
    "armed_send": "arming notional place total",
    "batch_admitted": "batch_id cash_buffer code_version lake_snapshot orders plan_id",
    "batch_admitted of manual": "actor batch_id cash_buffer code_version idempotency_key lake_snapshot orders plan_id "
    "reason",
    "batch_done": "batch_id from to",
    "batch_rebuilt": "batch_id orders",
    "cash_stated": "cash opening portfolio starting_cash",
    "disarmed": "actor armed number portfolio reason",
    "equity_accepted": "actor equity portfolio reason session",
    "fill": "client_order_id executed_at fee fill_id portfolio price qty revision session side symbol version",
    "order_absent": "look needed sent_at",
    "intent_filled": "filled_qty from reason seen to",
    "intent_partially_filled": "filled_qty from reason seen to",
    "intent_working": "broker_order_id from reason reply to",
    "lease_taken_over": "by from number",
    "limits_in_force": "batch_id limits_hash",
    "locked": "from_session kind lock_id portfolio reason symbol until_session",
    "plan_approval_withdrawn": "actor approved number plan_id portfolio reason session",
    "plan_approved": "actor approved number plan_id portfolio reason session",
    "positions": "changed checkpoints",
    "released": "batch_id buying_power cash factor needed orders other_cash short_factor",
    "signals_approved": "actor file_hash portfolio reason rules session strategy",
    "strategy_seen": "first_seen last_seen manifest_hash path portfolios strategy weights_dated",
    "strategy_state": "actor liquidate number portfolio reason state strategy",
    "trading_state": "actor cancel_open cause portfolio reason state until",
    "verdict": "limit portfolio verdict",
}
LATER = START + timedelta(hours=1)


RARE = (
    "armed", "batch_admitted", "batch_rebuilt", "cash_stated", "disarmed", "lease_taken_over", "order_absent",
    "plan_approval_withdrawn", "plan_approved",
)  # fmt: skip


def test_every_kind_of_entry_that_a_rebalance_leaves_says_what_it_has_always_said(ledger: Ledger) -> None:
    live_through(ledger)
    _compare(ledger, (kind for kind in WORDS if kind not in RARE or kind == "batch_admitted"))


def test_every_kind_of_entry_that_is_rare_says_what_it_has_always_said(ledger: Ledger) -> None:
    _what_is_rare(ledger)
    _compare(ledger, RARE)


def _compare(ledger: Ledger, kinds: Iterable[str]) -> None:
    said: dict[str, set[str]] = defaultdict(set)
    with ledger.read() as connection:
        for kind, payload in connection.execute(sa.select(events.c.kind, events.c.payload)):
            words = json.loads(payload).keys()
            said[f"{kind} of manual" if "idempotency_key" in words else kind] |= words
    for kind in kinds:
        assert " ".join(sorted(said[kind])) == WORDS[kind], kind


def _what_is_rare(ledger: Ledger) -> None:
    """What comes of losses, of people who take back, and of a ledger that is rebuilt."""
    people: dict[str, Any] = {"actor": "ann", "reason": "a look", "now": START}
    found = BrokerOrder("b1", "SCZ-b", "AAA", Side.BUY, D(1), D(0), None, OrderStatus.ACCEPTED, START, START)
    with ledger.transaction() as connection:
        arm(connection, "real", "main", BrokerIdentity("alpaca", "live", "9"), until=LATER, max_notional=D(1),
            currency="USD", **people)  # fmt: skip
        approve_plan(connection, "paper", "main", MONDAY, "p" * 64, **people)
        disarm(connection, "real", "main", **people)
        withdraw_unused(connection, "paper", "main", **people)
        plan = replace(plan_of([order("lost", "AAA", Side.SELL, "5")]), account="lost")
        admit(connection, plan, starting_cash=D(0), now=START)
        (lost,) = intents_of(connection, f"lost/main/{MONDAY}/1")
        append(connection, START, "lost", "intent_sending", {}, lost.client_order_id)
        record_absence(connection, lost, now=LATER, needed=2, wait=timedelta(minutes=1))
        take_batch(connection, "rebuilt", "main", MONDAY, 1, [found], instrument_ids={}, starting_cash=D(0), now=START)
        state_cash(
            connection, "rebuilt", "main", MONDAY, cash=D(5), starting_cash=D(5), account_cash=D(9), now=START
        )  # fmt: skip
    with lease(ledger, "slow", "one", lambda: START), lease(ledger, "slow", "two", lambda: LATER):
        pass
