"""Sensors behind a rebalance: they look, ask for `follow_orders` once per occasion, and say why when they do not."""

import hashlib
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from jobs.order_sensors import LATE_EVERY, order_sensors
from jobs.trading import trading_jobs
from resources.desk import SystemClock, TradingDesk
from scizor_dagster.brokers.paper import PaperBroker
from scizor_dagster.brokers.protocol import BrokerFill, Side
from scizor_dagster.config import load_config
from scizor_dagster.errors import BrokerUnavailable
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.states import IntentState as S
from scizor_dagster.risk.trading_state import TradingState, set_state
from tests.batches import leave_batch, leave_lease
from tests.jobs.support import two_of_each
from tests.jobs.test_schedules import store_bar
from tests.projects import Project, small_project

NEW_YORK = ZoneInfo("America/New_York")
THURSDAY, FRIDAY, MONDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)
THANKSGIVING = date(2026, 11, 26)
OPEN_BUT_RESTING = {"AAPL": S.WORKING, "MSFT": S.FILLED}


def at(clock: str, day: date = FRIDAY) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


class Sensor:
    """One sensor of a project, with the cursor and the runs that Dagster would keep."""

    def __init__(self, project: Project, name: str) -> None:
        config = load_config(project.settings.config_path, project.environment)
        self.definition = {sensor.name: sensor for sensor in order_sensors(config, trading_jobs(config))}[name]
        self.project = project
        self.cursor: str | None = None
        self.instance = dg.DagsterInstance.ephemeral()

    def tick(self, now: datetime, *, keep: bool = True) -> list[dg.RunRequest] | str:
        """The runs asked for, or the reason why there are none. `keep=False` loses the cursor, as a crash would."""
        settings, clock = self.project.settings, SystemClock(fixed_at=now.isoformat())
        desk = TradingDesk(home=str(settings.home), config_path=str(settings.config_path), clock=clock)
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"desk": desk}) as context:
            found = self.definition(context)
        if isinstance(found, dg.SkipReason):
            return str(found.skip_message)
        if isinstance(found, dg.RunRequest):
            return [found]
        assert isinstance(found, dg.SensorResult)
        if keep and found.cursor is not None:
            self.cursor = found.cursor
        if found.skip_reason is not None:
            assert not found.run_requests
            return str(found.skip_reason.skip_message)
        return list(found.run_requests or [])

    def request(self, now: datetime, *, keep: bool = True) -> dg.RunRequest:
        found = self.tick(now, keep=keep)
        assert isinstance(found, list), found
        assert len(found) == 1
        return found[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return small_project(tmp_path)


@pytest.fixture
def broker_project(tmp_path: Path) -> Project:
    """Its account is at Alpaca, so that orders move without any price of the lake."""
    return small_project(tmp_path, accounts={"paper": {**ALPACA}})


ALPACA = {
    "broker": "alpaca",
    "environment": "paper",
    "account_id": "PA123456789",
    "key_id": "${MY_KEY}",
    "secret_key": "${MY_SECRET}",
}


def desk_of(project: Project) -> Desk:
    return Desk(project.settings, lambda: datetime.now(UTC))


def digest(project: Project) -> str:
    return hashlib.sha256((project.home / "ledger.sqlite").read_bytes()).hexdigest()


class TestUnfinishedOrders:
    def test_looking_where_nothing_ever_traded_creates_nothing(self, project: Project) -> None:
        assert Sensor(project, "unfinished_orders").tick(at("10:00")) == (
            "Portfolio main has no open orders for 2026-11-20."
        )
        assert not project.home.exists()

    def test_on_a_holiday_nothing_is_looked_for(self, project: Project) -> None:
        found = Sensor(project, "unfinished_orders").tick(at("10:00", THANKSGIVING))
        assert found == "2026-11-26 is no session of XNYS."

    def test_orders_at_a_broker_are_followed_every_quarter_of_an_hour_from_the_open_on(
        self, broker_project: Project
    ) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, OPEN_BUT_RESTING)
        sensor = Sensor(broker_project, "unfinished_orders")
        assert "wait for the open at 2026-11-20T14:30" in str(sensor.tick(at("09:29")))
        first = sensor.request(at("09:30"))
        assert first.partition_key == FRIDAY.isoformat()
        assert first.run_key == "follow_orders:2026-11-20:2026-11-20T14:30Z"
        assert sensor.request(at("09:44")).run_key == first.run_key
        assert sensor.request(at("09:45")).run_key == "follow_orders:2026-11-20:2026-11-20T14:45Z"

    def test_a_whole_day_of_resting_orders_asks_for_at_most_one_run_in_a_quarter_of_an_hour(
        self, broker_project: Project
    ) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, OPEN_BUT_RESTING)
        sensor = Sensor(broker_project, "unfinished_orders")
        ticks = [at("09:30") + timedelta(minutes=minute) for minute in range(6 * 60 + 30)]
        assert len({sensor.request(tick).run_key for tick in ticks}) == 26

    @pytest.mark.parametrize("waiting", [{"AAPL": S.WORKING, "MSFT": S.HELD}, {"AAPL": S.UNKNOWN}, {"AAPL": S.READY}])
    def test_buys_that_wait_for_sales_and_orders_in_doubt_are_followed_every_five_minutes(
        self, broker_project: Project, waiting: dict[str, S]
    ) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, waiting)
        sensor = Sensor(broker_project, "unfinished_orders")
        keys = [sensor.request(at(clock)).run_key for clock in ("09:31", "09:34", "09:35")]
        assert keys[0] == keys[1] != keys[2]

    def test_what_could_not_be_sent_before_the_open_is_sent_before_the_open(self, broker_project: Project) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, {"AAPL": S.WORKING, "MSFT": S.READY})
        assert Sensor(broker_project, "unfinished_orders").request(at("09:10"))

    def test_orders_that_a_halt_holds_back_wait_for_the_open_like_resting_ones(self, broker_project: Project) -> None:
        desk = desk_of(broker_project)
        leave_batch(desk, FRIDAY, {"AAPL": S.READY})
        with desk.ledger.transaction() as connection:
            set_state(
                connection, "paper", "main", TradingState.HALTED, reason="looks wrong", actor="me", now=at("09:00")
            )
        assert "wait for the open" in str(Sensor(broker_project, "unfinished_orders").tick(at("09:10")))

    def test_orders_at_the_embedded_exchange_wait_for_the_prices_that_fill_them(self, project: Project) -> None:
        leave_batch(desk_of(project), FRIDAY, OPEN_BUT_RESTING)
        sensor = Sensor(project, "unfinished_orders")
        assert "wait for its prices" in str(sensor.tick(at("12:00")))
        store_bar(project, THURSDAY)
        assert "wait for its prices" in str(sensor.tick(at("17:40")))
        store_bar(project, FRIDAY)
        assert sensor.request(at("17:41")).partition_key == FRIDAY.isoformat()

    def test_while_a_run_is_at_the_orders_nothing_is_asked_for(self, broker_project: Project) -> None:
        desk = desk_of(broker_project)
        leave_batch(desk, FRIDAY, OPEN_BUT_RESTING)
        leave_lease(desk, "host:1:run", at("09:32"))
        found = Sensor(broker_project, "unfinished_orders").tick(at("09:31"))
        assert found == "host:1:run is at the orders of account paper."

    def test_orders_that_a_dead_run_left_are_asked_for_once_its_lease_expires_also_before_the_open(
        self, project: Project
    ) -> None:
        desk = desk_of(project)
        leave_batch(desk, FRIDAY, {"AAPL": S.READY})
        leave_lease(desk, "host:1:run", at("09:03"), token=7)
        sensor = Sensor(project, "unfinished_orders")
        assert "is at the orders" in str(sensor.tick(at("09:02")))
        assert sensor.request(at("09:03")).run_key == "follow_orders:2026-11-20:2026-11-20T14:00Z:7"
        assert sensor.request(at("09:14")).run_key == sensor.request(at("09:03")).run_key
        # The run that was asked for died as well, before it took the account: it is asked for again.
        assert sensor.request(at("09:15")).run_key == "follow_orders:2026-11-20:2026-11-20T14:15Z:7"
        # Another one took the account and died.
        leave_lease(desk, "host:2:run", at("09:16"), token=8)
        assert sensor.request(at("09:16")).run_key == "follow_orders:2026-11-20:2026-11-20T14:15Z:8"

    def test_a_batch_that_has_ended_and_one_of_yesterday_are_none_of_its_business(
        self, broker_project: Project
    ) -> None:
        desk, sensor = desk_of(broker_project), Sensor(broker_project, "unfinished_orders")
        leave_batch(desk, THURSDAY, OPEN_BUT_RESTING, plan_id="a")
        leave_batch(desk, FRIDAY, {"AAPL": S.FILLED, "MSFT": S.CANCELED}, plan_id="b")
        assert sensor.tick(at("10:00")) == "Portfolio main has no open orders for 2026-11-20."

    def test_a_run_that_waits_to_start_is_not_asked_for_again_however_long_it_waits(
        self, broker_project: Project
    ) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, OPEN_BUT_RESTING)
        sensor = Sensor(broker_project, "unfinished_orders")
        request = sensor.request(at("09:30"))
        _ask_for(sensor.instance, request, "follow_orders")
        assert "is waiting to start" in str(sensor.tick(at("09:46")))
        # A tick that was cut short comes again with its own key: Dagster must be able to start that very run.
        assert sensor.request(at("09:31")).run_key == request.run_key

    def test_the_sensor_of_another_portfolio_looks_at_its_own_orders(self, tmp_path: Path) -> None:
        project = two_of_each(tmp_path)
        leave_batch(desk_of(project), FRIDAY, {"AAPL": S.READY}, portfolio="bold")
        assert "no open orders" in str(Sensor(project, "unfinished_orders").tick(at("10:00")))
        assert str(Sensor(project, "unfinished_orders_bold").request(at("10:00")).run_key).startswith(
            "follow_orders_bold:2026-11-20:"
        )

    def test_a_look_writes_nothing_and_takes_milliseconds(self, broker_project: Project, record_property) -> None:
        leave_batch(desk_of(broker_project), FRIDAY, OPEN_BUT_RESTING)
        sensor = Sensor(broker_project, "unfinished_orders")
        sensor.request(at("09:30"))
        before, began = digest(broker_project), time.perf_counter()
        for _ in range(20):
            sensor.request(at("09:30"))
        record_property("milliseconds_per_tick", round((time.perf_counter() - began) * 50, 1))
        assert digest(broker_project) == before

    def test_a_ledger_that_cannot_be_read_is_the_reason_of_a_skip(self, project: Project) -> None:
        project.home.mkdir()
        (project.home / "ledger.sqlite").write_bytes(b"no database at all" * 100)
        assert "damaged, or is none: file is not a database" in str(
            Sensor(project, "unfinished_orders").tick(at("10:00"))
        )


class TestLateFills:
    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[date, date]]:
        """Every read of the broker's fills; what it answers is `self.fills`."""
        asked: list[tuple[date, date]] = []
        self.fills: list[BrokerFill] = []
        self.failure: Exception | None = None

        def answer(_: PaperBroker, first: date, last: date) -> list[BrokerFill]:
            asked.append((first, last))
            if self.failure is not None:
                raise self.failure
            return self.fills

        monkeypatch.setattr(PaperBroker, "fills", answer)
        return asked

    def late(self, name: str, symbol: str = "AAPL", day: date = THURSDAY) -> None:
        done = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
        fill = BrokerFill(f"f-{name}", name, symbol, Side.SELL, Decimal(3), Decimal(100), Decimal(0), day, done)
        self.fills = [*self.fills, fill]

    def test_nothing_is_read_where_nothing_has_traded(self, project: Project, reads: list) -> None:
        assert Sensor(project, "late_fills").tick(at("08:30")) == "No portfolio has traded on account paper lately."
        assert (reads, project.home.exists()) == ([], False)

    def test_orders_that_filled_whole_are_not_asked_for(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.FILLED, "MSFT": S.EXPIRED})
        assert Sensor(project, "late_fills").tick(at("20:00", THURSDAY)) == (
            "Nothing of the recent sessions can still fill."
        )
        assert reads == []

    @pytest.mark.parametrize("state", [S.CANCELED, S.REJECTED])
    def test_a_fill_of_an_order_that_had_ended_is_found_and_its_session_is_followed(
        self, project: Project, reads: list, state: S
    ) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": state})
        sensor = Sensor(project, "late_fills")
        assert sensor.tick(at("20:00", THURSDAY)) == "Nothing has come late."
        self.late("AAPL-2026-11-19")
        request = sensor.request(at("20:30", THURSDAY))
        assert (request.job_name, request.partition_key) == ("follow_orders", "2026-11-19")
        assert request.run_key == "follow_orders:2026-11-19:fills:2026-11-20T01:00Z"
        assert reads == [(THURSDAY, THURSDAY)] * 2

    def test_the_broker_is_asked_once_in_half_an_hour_however_often_the_sensor_ticks(
        self, project: Project, reads: list
    ) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        sensor, begin = Sensor(project, "late_fills"), at("19:00", THURSDAY)
        for minute in range(60):
            sensor.tick(begin + timedelta(minutes=minute))
        assert len(reads) == 2
        assert "is asked every 30 minutes" in str(sensor.tick(begin + timedelta(minutes=59)))
        assert LATE_EVERY.total_seconds() == sensor.definition.minimum_interval_seconds

    def test_a_tick_whose_cursor_was_lost_asks_for_the_same_run(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        self.late("AAPL-2026-11-19")
        sensor = Sensor(project, "late_fills")
        first = sensor.request(at("19:00", THURSDAY), keep=False)
        assert sensor.request(at("19:01", THURSDAY), keep=False) == first

    def test_a_failed_follow_is_asked_for_again_after_an_hour(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        self.late("AAPL-2026-11-19")
        sensor = Sensor(project, "late_fills")
        keys = {sensor.request(at(clock, THURSDAY)).run_key for clock in ("19:00", "19:30", "20:00", "20:30")}
        assert len(keys) == 2

    def test_fills_that_are_known_and_fills_of_others_ask_for_nothing(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        self.late("somebody-elses-order")
        assert Sensor(project, "late_fills").tick(at("19:00", THURSDAY)) == "Nothing has come late."

    def test_an_exit_of_a_bracket_that_fills_days_later_belongs_to_the_session_of_its_entry(
        self, project: Project, reads: list
    ) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.FILLED}, exits_open=True)
        self.late("an-exit-has-an-id-of-its-own", day=FRIDAY)
        request = Sensor(project, "late_fills").request(at("20:00"))
        assert request.partition_key == "2026-11-19"

    def test_a_broker_that_does_not_answer_makes_a_skip_with_the_reason_and_is_left_alone_for_a_while(
        self, project: Project, reads: list
    ) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        self.failure = BrokerUnavailable("The broker does not answer.", remedy="Wait for it.")
        sensor = Sensor(project, "late_fills")
        assert sensor.tick(at("19:00", THURSDAY)) == "The broker does not answer. Wait for it."
        assert "is asked every" in str(sensor.tick(at("19:10", THURSDAY)))
        assert len(reads) == 1

    def test_a_clock_that_was_ahead_and_went_back_keeps_no_read_away(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), THURSDAY, {"AAPL": S.CANCELED})
        sensor = Sensor(project, "late_fills")
        sensor.tick(at("23:00", THURSDAY))
        assert sensor.tick(at("19:00", THURSDAY)) == "Nothing has come late."
        assert len(reads) == 2

    def test_while_a_run_is_at_the_account_nothing_is_read(self, project: Project, reads: list) -> None:
        desk = desk_of(project)
        leave_batch(desk, THURSDAY, {"AAPL": S.CANCELED})
        leave_lease(desk, "host:1:run", at("19:01", THURSDAY))
        found = Sensor(project, "late_fills").tick(at("19:00", THURSDAY))
        assert (found, reads) == ("A run is at the orders of account paper.", [])

    def test_a_session_older_than_a_week_is_left_alone(self, project: Project, reads: list) -> None:
        leave_batch(desk_of(project), date(2026, 11, 12), {"AAPL": S.CANCELED})
        assert "has traded on account paper lately" in str(Sensor(project, "late_fills").tick(at("20:00")))

    def test_an_account_at_a_tws_is_never_read_by_a_sensor(self, tmp_path: Path) -> None:
        account = {"broker": "ibkr", "environment": "paper", "account_id": "DU1234567", "port": 1, "client_id": 1}
        project = small_project(tmp_path, accounts={"paper": account})
        leave_batch(desk_of(project), FRIDAY, {"AAPL": S.CANCELED})
        sensor = Sensor(project, "late_fills")
        assert "read by runs alone" in str(sensor.tick(at("20:00")))
        assert "read by runs alone" in str(sensor.tick(at("08:30", MONDAY)))

    def test_portfolios_of_one_account_share_its_read_and_each_has_its_own_run(
        self, tmp_path: Path, reads: list
    ) -> None:
        project = two_of_each(tmp_path)
        desk = desk_of(project)
        leave_batch(desk, THURSDAY, {"AAPL": S.CANCELED}, plan_id="a")
        leave_batch(desk, THURSDAY, {"MSFT": S.CANCELED}, portfolio="bold", plan_id="b")
        self.late("AAPL-2026-11-19")
        self.late("MSFT-2026-11-19", "MSFT")
        found = Sensor(project, "late_fills").tick(at("20:00", THURSDAY))
        assert isinstance(found, list)
        assert [item.job_name for item in found] == ["follow_orders", "follow_orders_bold"]
        assert len(reads) == 1
        assert "lately" in str(Sensor(project, "late_fills_aud").tick(at("20:00", THURSDAY)))


def test_sensors_are_named_by_portfolio_and_by_account_and_off_until_somebody_switches_them_on(
    tmp_path: Path,
) -> None:
    project = two_of_each(tmp_path)
    config = load_config(project.settings.config_path, project.environment)
    found = order_sensors(config, trading_jobs(config))
    assert {item.name for item in found} == {
        "unfinished_orders", "unfinished_orders_bold", "unfinished_orders_down_under", "late_fills", "late_fills_aud",
    }  # fmt: skip
    assert {item.default_status for item in found} == {dg.DefaultSensorStatus.STOPPED}


def _ask_for(instance: dg.DagsterInstance, request: dg.RunRequest, job: str) -> None:
    run = dg.DagsterRun(
        job_name=job,
        status=dg.DagsterRunStatus.STARTING,
        tags={"dagster/partition": str(request.partition_key), "dagster/run_key": str(request.run_key)},
        run_id="11111111-1111-4111-8111-111111111111",
    )
    instance.run_storage.add_run(run)
