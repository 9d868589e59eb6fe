"""One rebalance for every broker: 50 instruments, planned by the planner and carried out by the executor.

A broker's test module subclasses `RebalanceScenario` and supplies `stage`. The positions that must be held
at the end are worked out here by hand, so that they are the same whichever broker carried it out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_DOWN
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.brokers.capabilities import IBKR_CAPABILITIES
from scizor_dagster.brokers.protocol import Broker
from scizor_dagster.execution.executor import ExecutionSettings, execute, follow
from scizor_dagster.instruments import Instrument
from scizor_dagster.ledger.holdings import owned
from scizor_dagster.planning.inputs import ReferencePrice
from scizor_dagster.planning.model import Plan
from scizor_dagster.planning.planner import make_plan
from scizor_dagster.planning.rules import PlanningRules
from tests.execution.scenario import UNLIMITED
from tests.paper_exchange.market import DAY1, DAY2, fresh_ledger
from tests.planning.books import inputs_of

CASH = D(2_000_000)
EQUITY = D(1_000_000)
"""What the portfolio sizes on: the same at every broker, whatever it charges."""
PRICES = {f"S{number:02d}": D(20 + 7 * number) for number in range(50)}
NAMES = tuple(PRICES)
INSTRUMENTS = {name: Instrument(name, "XNYS", "USD", fractionable=False) for name in NAMES}
FIRST_WEIGHTS = dict.fromkeys(NAMES[:40], D("0.015"))
SECOND_WEIGHTS = {name: D("0.01") + D("0.0004") * place for place, name in enumerate(NAMES[10:])}
"""Ten names leave, ten come, thirty change."""
RULES = PlanningRules(fractional=False)
MOST_RUNS = 20


@dataclass
class Stage:
    """A flat account with `CASH` at a broker, and the way to its sessions.

    Attributes:
        begin: Make the session trade, where the broker does not do so by being asked.
        now: The clock of the broker.
    """

    broker: Broker
    begin: Callable[[date], None]
    now: Callable[[], datetime]


def shares(weights: dict[str, D]) -> dict[str, D]:
    """Whole shares that the weights come to."""
    return {
        name: (weight * EQUITY / PRICES[name]).quantize(D(1), ROUND_DOWN) for name, weight in weights.items() if weight
    }


def plan_for(session: date, weights: dict[str, D], held: dict[str, D]) -> Plan:
    """The plan in whole shares that every broker can carry out."""
    closed = date(2024, 3, 1) if session == DAY1 else DAY1
    made = inputs_of(weights, PRICES, held, equity=EQUITY, instruments=INSTRUMENTS)
    prices = {name: ReferencePrice(price, closed, "test") for name, price in PRICES.items()}
    return make_plan(replace(made, session=session, priced_on=closed, prices=prices), RULES, IBKR_CAPABILITIES)


class RebalanceScenario:
    """Subclass it as `TestX` and define the fixture `stage`."""

    @pytest.fixture
    def stage(self) -> Stage:
        raise NotImplementedError("a subclass supplies the stage")

    def test_a_rebalance_of_50_instruments_ends_in_the_positions_that_it_ends_in_everywhere(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        folder = tmp_path / "books"
        folder.mkdir()
        ledger = fresh_ledger(folder)
        identity = stage.broker.identity()
        settings = ExecutionSettings(CASH, identity.broker, identity.environment, identity.account_id, UNLIMITED)
        base = {"ledger": ledger, "broker": stage.broker, "account": "paper", "portfolio": "main"}
        base |= {"clock": stage.now, "holder": "test", "siblings": None, "settings": settings}
        held: dict[str, D] = {}
        for session, weights in ((DAY1, FIRST_WEIGHTS), (DAY2, SECOND_WEIGHTS)):
            stage.begin(session)
            plan = plan_for(session, weights, held)
            result = execute(plan, **base)
            for _ in range(MOST_RUNS):
                if all(row.state == "filled" for row in result.orders):
                    break
                result = follow(session, **base)
            assert {row.state for row in result.orders} == {"filled"}
            held = shares(weights)
            assert {row.symbol: row.qty for row in stage.broker.positions()} == held
            with ledger.read() as connection:
                assert owned(connection, "paper", "main") == held
        assert len(plan.orders) == 50
        assert len(held) == 40
        ledger.close()
