"""A backtest and the paper exchange, through the Dagster assets, give the same orders: to the share and to the cent.

Twelve shares, long and short, of two strategies that are blended anew every session: with fractions, bands, crossings
of zero, spread, impact, fees, parts of orders that find no volume, a split, a consolidation on a session without a bar,
dividends, missing bars and a delisting. `SCIZOR_TORTURE` trades all 250 sessions.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from typer.testing import CliRunner

from scizor_dagster.backtest.model import FillAt
from scizor_dagster.backtest.parity import Parity, compare
from scizor_dagster.backtest.parity_split import Parts, split
from scizor_dagster.brokers import paper
from scizor_dagster.cli.app import app
from scizor_dagster.errors import InputError
from scizor_dagster.flow import parity_sides
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.parity import parity_report
from scizor_dagster.flow.parity_sides import BothSides, both_sides, modelled_sides
from scizor_dagster.paper_exchange.model import Rules
from scizor_dagster.planning import compiled
from tests.acceptance.parity_project import ENDS, GONE, PORTFOLIO, SPLITS, TRADED, Assets, write_parity_project

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
COUNT = len(TRADED) if TORTURE else 14
SEED = 7
FEE = Decimal("1.5")
pytestmark = pytest.mark.timeout(4 * 3_600 if TORTURE else 900)


@dataclass
class Traded:
    """The sessions as they were traded, and both sides of them."""

    folder: Path
    desk: Desk
    sides: BothSides

    @property
    def parity(self) -> Parity:
        return compare(self.sides.recorded, self.sides.backtest)


def with_fees(account: Any) -> Rules:
    """No paper account is configured with fees; the exchange knows them."""
    return replace(paper_rules(account), fee_bps=FEE)


paper_rules = paper.exchange_rules


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traded]:
    folder = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.SWITCH, "python")
        patch.setattr(compiled, "_loaded", {})
        patch.setattr(paper, "exchange_rules", with_fees)
        patch.setattr(parity_sides, "exchange_rules", with_fees)
        assets = Assets(write_parity_project(folder, COUNT, SEED), TRADED[COUNT - 1])
        assets.collect()
        with dg.DagsterInstance.ephemeral() as instance:
            assets.trade(TRADED[:COUNT], instance)
        sides = both_sides(assets.desk, PORTFOLIO, TRADED[0], TRADED[COUNT - 1], as_planned=False)
        yield Traded(folder, assets.desk, sides)
        assets.desk.lake.close()
        assets.desk.ledger.close()


def test_the_backtest_gives_every_order_fill_and_close_of_the_paper_account(
    traded: Traded, record_property: Any
) -> None:
    parity = traded.parity
    record_property("parity", parity.sentence)
    print(parity.sentence)  # noqa: T201
    assert [item.sentence for item in parity.differences] == []
    assert parity.sessions == COUNT
    assert parity.orders > 8 * COUNT


def test_everything_that_happens_to_shares_has_happened(traded: Traded) -> None:
    orders, days = traded.sides.recorded.orders, traded.sides.recorded.days
    reasons = Counter(order.reason for order in orders)
    assert {"rebalance", "open", "liquidate", "cross_zero"} <= set(reasons)
    assert any(order.key.leg == 2 for order in orders)
    assert any(len(order.deals) > 1 for order in orders)
    assert any(order.final is not None and order.final < order.planned for order in orders)
    assert any(order.filled != order.filled.to_integral_value() for order in orders)
    assert {"filled", "expired"} <= {order.state for order in orders}
    assert all(deal.fee > 0 for order in orders for deal in order.deals)
    assert any(min(day.holdings.values(), default=0) < 0 for day in days)
    assert sum(day.income != 0 for day in days) >= 3
    held = [{name for name, qty in day.holdings.items() if qty} for day in days]
    assert {SPLITS, GONE, ENDS} <= set().union(*held)
    assert ENDS not in held[-1]


def test_a_report_of_the_same_sessions_says_that_nothing_differs_and_every_plan_is_made_again(traded: Traded) -> None:
    report = parity_report(traded.desk, PORTFOLIO, TRADED[COUNT - 5], TRADED[COUNT - 1])
    assert (report.equal, report.replayed, report.not_replayed) == (True, 5, ())
    assert report.split.parts == Parts()
    assert report.split.ended == report.split.rest == 0


def test_another_spread_is_told_as_price_and_what_follows_of_it_as_carried_over(traded: Traded) -> None:
    """A backtest at ten times the spread loses more on every fill, and sizes all later orders on less."""
    config = yaml.safe_load((traded.folder / "config.yaml").read_text())
    config["accounts"]["paper"]["exchange"]["half_spread_bps"] = 25.0
    (traded.folder / "wider.yaml").write_text(yaml.safe_dump(config))
    settings = replace(traded.desk.settings, config_path=traded.folder / "wider.yaml")
    report = parity_report(Desk(settings, traded.desk.machine_clock), PORTFOLIO, TRADED[0], TRADED[5])
    causes = Counter(item.cause for item in report.parity.differences if item.of != "close")
    assert {"it was filled otherwise", "cash or holdings before the session differ already"} <= set(causes)
    assert report.parity.differing_orders > 30
    found = report.split
    # An order of another size may find its volume in other steps of the session: that is delay, and little.
    assert found.parts.price > 100 * abs(found.parts.delay)
    assert found.parts.fx == 0
    assert found.explained
    assert abs(found.rest) < Decimal("1e-9")
    assert found.ended - found.began == pytest.approx(found.parts.total)
    assert not report.equal


def test_a_model_that_fills_all_at_the_open_differs_by_parts_that_sum_to_it(traded: Traded) -> None:
    sides = modelled_sides(traded.desk, PORTFOLIO, TRADED[0], TRADED[COUNT - 1], FillAt.OPEN)
    found = split(sides.backtest, sides.recorded)
    assert found.explained
    assert abs(found.rest) < Decimal("1e-6")
    # Purchases of a session with sales fill at midday: the market has moved since the open.
    assert abs(found.parts.delay) > 1
    assert found.parts.fee < 0
    with pytest.raises(InputError, match="a backtest with a model of fills begins with cash alone"):
        modelled_sides(traded.desk, PORTFOLIO, TRADED[2], TRADED[3], FillAt.OPEN)


def test_the_command_says_so_and_ends_by_what_it_finds(traded: Traded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIZOR_HOME", str(traded.desk.settings.home))
    monkeypatch.setenv("SCIZOR_CONFIG", str(traded.desk.settings.config_path))
    span = ["--from", str(TRADED[0]), "--to", str(TRADED[2])]
    said = CliRunner().invoke(app, ["parity", *span])
    assert said.exit_code == 0, said.output
    assert said.output.startswith("3 sessions, ")
    assert "differing orders = 0, other differences = 0." in said.output
    assert "3 plans made again, 0 of them otherwise." in said.output
    other = CliRunner().invoke(app, ["parity", *span, "--fills", "open", "--json"])
    assert other.exit_code == 1
    told = json.loads(other.output)
    assert (told["sessions"], told["equal"], told["split"]["explained"]) == (3, False, True)
    assert told["differing_orders"] > 10
    words = CliRunner().invoke(app, ["parity", *span, "--fills", "open"])
    assert "difference of equity" in words.output
    with pytest.raises(InputError, match="has no admitted plan from 2023-01-05 to 2023-01-06"):
        CliRunner().invoke(app, ["parity", "--from", "2023-01-05", "--to", "2023-01-06"], catch_exceptions=False)
    with pytest.raises(InputError, match="2023-02-02 is after 2023-02-01"):
        CliRunner().invoke(app, ["parity", "--from", "2023-02-02", "--to", "2023-02-01"], catch_exceptions=False)
