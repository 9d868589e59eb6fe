"""An account with real money, behind a wire and through Dagster: a click sends nothing, an arming lets its plan out."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets.portfolios import portfolio_assets
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.brokers.alpaca import transport
from scizor_dagster.errors import InputError, WrongAccount
from scizor_dagster.flow.arming import Armed, arm_portfolio
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.arming import arming_of, disarm
from scizor_dagster.ledger.rows import batch_of, batches_of
from scizor_dagster.paper_exchange.alpaca_door import render_account
from scizor_dagster.risk.events import risk_events_of
from tests.acceptance.wires import DAY, ENVIRONMENT, EVE, NAMES, Wires, collect, open_wires
from tests.projects import FIRST_SESSION, SYMBOLS, small_project

NUMBER = "932473521"
LIVE = {"environment": "live", "account_id": NUMBER}
FILES = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw", "seed": None}
HOUR = timedelta(hours=1)


@dataclass
class Live:
    """A desk whose account at the door says that it is live."""

    wires: Wires
    desk: Desk

    def click(self, *names: str, session: date = DAY) -> dg.ExecuteInProcessResult:
        """Materialize assets of the portfolio, as the button in the UI does."""
        clock = SystemClock(fixed_at=self.desk.clock().isoformat())
        settings = self.desk.settings
        trading = TradingDesk(home=str(settings.home), config_path=str(settings.config_path), clock=clock)
        return dg.materialize(
            portfolio_assets(self.desk.config, "main"),
            selection=[dg.AssetKey(["main", name]) for name in names],
            partition_key=session.isoformat(),
            resources={"desk": trading},
            instance=dg.DagsterInstance.ephemeral(),
            raise_on_error=False,
        )

    def orders(self) -> int:
        return len(self.wires.hall.all_orders(NAMES["alpaca"]))

    def stops(self) -> list[tuple[str, str]]:
        with self.desk.ledger.read() as connection:
            return [(row.limit, row.verdict) for row in risk_events_of(connection, "broker")]

    def arm(self, amount: str = "1000000", **changes: Any) -> Armed:
        named = {"until": self.desk.clock() + HOUR, "actor": "jo", "reason": ""} | changes
        account_id = named.pop("account_id", NUMBER)
        return arm_portfolio(self.desk, "main", account_id, max_notional=Decimal(amount), **named)


def write_prices(folder: Path) -> None:
    """Bars of the sample market up to the eve, as a vendor's file of prices as traded."""
    place = folder / "vendor"
    place.mkdir()
    desk = Desk(small_project(place).settings, lambda: datetime(2025, 3, 31, tzinfo=UTC))
    bars = pd.concat(desk.provider("us").daily_bars(SYMBOLS, FIRST_SESSION, EVE, desk.clock()))
    names = ["symbol", "session", "open", "high", "low", "close", "volume"]
    bars[names].to_csv(folder / "prices.csv", index=False)


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setattr(transport, "_BACKOFF", (0.0,))
    monkeypatch.setattr(render_account, "account_number", lambda view: NUMBER)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        wires = stack.enter_context(open_wires(tmp_path))
        write_prices(tmp_path)
        markets = {"us": {"provider": {name: value for name, value in FILES.items() if value is not None}}}
        desk = collect(wires.desk(tmp_path, {**wires.keys["alpaca"], **LIVE}, markets=markets))
        stack.callback(desk.disconnect)
        consolidate_session(desk, "main", DAY)
        yield Live(wires, desk)


def _problem(result: dg.ExecuteInProcessResult) -> str:
    (event,) = (item for item in result.all_events if item.event_type is dg.DagsterEventType.STEP_FAILURE)
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return " ".join([data.description or "", *(str(value.value) for value in data.metadata.values())])


def test_a_click_on_executions_of_a_live_account_that_is_not_armed_sends_nothing(live: Live) -> None:
    assert live.click("planned_orders").success
    result = live.click("executions")
    assert not result.success
    assert f"scizor arm main --account {NUMBER} --until TIME --max-notional AMOUNT" in _problem(result)
    assert live.orders() == 0
    assert live.stops() == [("arming", "stopped")]
    with live.desk.ledger.read() as connection:
        assert batches_of(connection, "broker", "main") == []


def test_an_armed_portfolio_trades_todays_session_and_its_metadata_say_by_whom(live: Live) -> None:
    assert live.click("planned_orders").success
    live.arm()
    result = live.click("executions")
    assert result.success, _problem(result)
    (made,) = result.asset_materializations_for_node("main__executions")
    assert "armed by jo at" in str(made.metadata["permitted"].value)
    with live.desk.ledger.read() as connection:
        batch = batch_of(connection, "broker", "main", DAY)
        found = arming_of(connection, "broker", "main")
    assert batch is not None
    assert found is not None
    assert (batch.armed_by, batch.max_notional) == ("jo", 1_000_000)
    assert live.orders() >= 3
    assert 0 < found.sent < 100_000


def test_a_session_other_than_todays_never_trades_live_although_it_is_armed(live: Live) -> None:
    assert live.click("planned_orders").success
    live.wires.hall.to("17:00", DAY)
    live.wires.hall.to("08:00", date(2025, 3, 4))
    live.arm()
    live.click("executions")
    assert live.orders() == 0
    with live.desk.ledger.read() as connection:
        assert batches_of(connection, "broker", "main") == []


def test_a_plan_that_is_worth_more_than_was_armed_is_not_admitted(live: Live) -> None:
    assert live.click("planned_orders").success
    live.arm("100")
    result = live.click("executions")
    assert not result.success
    assert "for 100.00 USD, 0.00 of it used" in _problem(result)
    assert live.orders() == 0


def test_arming_twice_replaces_what_was_and_says_so(live: Live) -> None:
    first = live.arm()
    assert first.replaced is None
    second = live.arm("5", until=live.desk.clock() + 2 * HOUR)
    assert second.replaced == first.made
    with live.desk.ledger.transaction() as connection:
        assert disarm(connection, "broker", "main", actor="jo", reason="", now=live.desk.clock()) == second.made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"account_id": "932473522"}, "pinned as another one than 932473522"),
        ({"until": datetime(2025, 3, 3, 12, 0, tzinfo=UTC)}, "has passed"),
        ({"until": datetime(2025, 3, 10, 14, 0, tzinfo=UTC)}, "more than 7 days ahead"),
    ],
)
def test_an_arming_that_does_not_agree_with_the_pinned_account_or_the_clock_is_refused(
    live: Live, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        live.arm(**change)
    with live.desk.ledger.read() as connection:
        assert arming_of(connection, "broker", "main") is None


def test_an_arming_is_refused_where_the_broker_says_that_it_is_another_account(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_account, "account_number", lambda view: "932473999")
    with pytest.raises(WrongAccount, match="says it is alpaca live account 932473999"):
        live.arm()
    with live.desk.ledger.read() as connection:
        assert arming_of(connection, "broker", "main") is None
