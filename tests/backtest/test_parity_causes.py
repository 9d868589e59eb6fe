"""Why a recorded session and its backtest differ: the cause of each difference, and what plans have known."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from scizor_dagster.backtest.parity import Difference
from scizor_dagster.backtest.venue_market import Facts
from scizor_dagster.brokers.capabilities import PAPER_CAPABILITIES
from scizor_dagster.flow import parity
from scizor_dagster.flow.parity_sides import Known
from scizor_dagster.planning.archives import PlanArchive
from scizor_dagster.planning.inputs import PlanInputs, ReferencePrice
from scizor_dagster.planning.kernel_model import REASONS
from scizor_dagster.planning.model import Reason
from scizor_dagster.planning.rules import PlanningRules
from tests.backtest.test_parity_venue import SESSIONS, history_of
from tests.backtest.told_runs import FIRST, key_of, order, run_of

BUY = key_of()
DAYS = [{"closes": {"A": Decimal(10)}} for _ in range(2)]


def run(planned=5, cash=1_000):
    days = [DAYS[0], {**DAYS[1], "orders": [order(BUY, planned)]}]
    return run_of({}, cash, days)


def cause(what, *, recorded=None, backtest=None, others=(), said="", of=str(BUY)):
    item = Difference(FIRST, of, what, "1", "2", said)
    return parity._caused(item, recorded or run(), backtest or run(), others).cause


def test_a_difference_has_the_first_cause_that_there_is_evidence_for():
    assert cause("fills") == parity.BY_THE_VENUE
    assert cause("final") == parity.AT_THE_RELEASE
    assert cause("planned", backtest=run(cash=1_001)) == parity.CARRIED
    assert cause("planned", others=(FIRST,)) == parity.OTHER_VERSION
    assert cause("planned") == parity.OTHERWISE


def test_what_is_sent_of_an_order_that_was_planned_otherwise_follows_from_its_plan():
    assert cause("final", recorded=run(6)) == parity.OTHERWISE


def test_a_cause_that_the_ledger_names_stays_and_closes_have_none():
    assert cause("state", said="blocked: max_notional_per_order") == "blocked: max_notional_per_order"
    assert cause("cash", of="close") == ""


def archive(**said):
    inputs = PlanInputs(
        portfolio="main", account="paper", session=SESSIONS[1], batch=1, currency="USD", equity=Decimal(1_000),
        targets=(), holdings={}, instruments={}, priced_on=SESSIONS[0], adjustment="raw",
        prices={name: ReferencePrice(Decimal(10), SESSIONS[0], "files") for name in "ABC"}, **said,
    )  # fmt: skip
    return PlanArchive(inputs, PlanningRules(), PAPER_CAPABILITIES)


@pytest.fixture
def facts():
    return Facts(
        np.array([10.0, 11.0, np.nan, 7.0]), np.full(4, np.nan), np.full(4, np.nan), np.zeros(4, dtype=np.int8)
    )


def test_a_session_is_planned_on_what_its_recorded_plan_has_known_and_a_restated_price_is_named(facts):
    known = Known(history_of(*[[10, 10]] * 4), {SESSIONS[1]: archive(
        previous_prices={"A": Decimal("9.5")}, adv={"B": Decimal(300)}, stale_symbols=frozenset({"A"}),
        frozen_symbols={"B": "unknown"}, action_symbols={"C": "split"}, quarantined_symbols={"A": "jump"},
    )})  # fmt: skip
    told = known.of_plan(1, facts)
    assert told.prices.tolist() == [10, 10, 10, 7]
    assert (told.previous[0], told.volumes[1]) == (9.5, 300)
    assert [REASONS[code] for code in told.kept[:3]] == [Reason.QUARANTINED, Reason.FROZEN, Reason.CORPORATE_ACTION]
    assert told.kept[3] == 0
    assert known.notes == [
        f"B: the plan of {SESSIONS[1]} was made from a price of 10, and the lake now says 11.0.",
        f"C: the plan of {SESSIONS[1]} was made from a price of 10, and the lake now says none.",
    ]


def test_a_session_whose_plan_has_nothing_beside_it_is_planned_on_the_lake_of_now(facts):
    known = Known(history_of(*[[10, 10]] * 4), {date(2020, 1, 2): archive()})
    assert known.of_plan(1, facts) is facts
    assert known.notes == []
