"""What Prometheus is shown: whole where the stores are, and honest where one is not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scizor_dagster.monitoring.catalogue import METRICS, MONEY, RUNS, TRADING
from scizor_dagster.monitoring.exposition import KEPT_SECONDS, OLDEST_SECONDS, Busy, Monitor
from scizor_dagster.monitoring.readings import Readings
from scizor_dagster.monitoring.runs import DagsterFigures, runs

NOW = datetime(2025, 2, 15, 12, 0, tzinfo=UTC)
FIGURES = DagsterFigures(
    {"SCHEDULER": NOW, "SENSOR": None}, 2, {"QUEUED": 1, "STARTED": 0}, {"SUCCESS": 3, "FAILURE": 1}, 4
)


def shown(monitor: Monitor, may_see: Callable[[str], bool] = lambda _: True) -> dict[tuple[str, ...], float]:
    """Every sample by name and values of its labels."""
    families = text_string_to_metric_families(monitor.text(may_see).decode())
    return {
        (sample.name, *(sample.labels[name] for name in METRICS[sample.name].labels)): sample.value
        for family in families
        for sample in family.samples
    }


def equity(value: float) -> Readings:
    found = Readings(MONEY)
    found.add("scizor_equity", value, "paper", "main", "USD")
    found.add("scizor_equity", 7, "other", "second", "USD")
    return found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def broken() -> Readings:
    raise ValueError("the file is gone")


def test_a_part_that_cannot_be_read_is_down_and_the_others_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    found = shown(Monitor({MONEY: broken, RUNS: lambda: runs(FIGURES)}, lambda: NOW))
    assert (found["scizor_up", MONEY], found["scizor_up", RUNS]) == (0, 1)
    assert not [key for key in found if key[0] == "scizor_equity"]
    assert found["scizor_measured_timestamp_seconds", RUNS] == NOW.timestamp()
    assert found["scizor_dagster_heartbeat_timestamp_seconds", "scheduler"] == NOW.timestamp()
    assert found["scizor_dagster_heartbeat_timestamp_seconds", "sensor"] == 0
    assert (found["scizor_runs", "queued"], found["scizor_runs_ended_24h", "failure"]) == (1, 1)
    assert (found["scizor_ticks_failed_24h",], found["scizor_dagster_switched_on",]) == (4, 2)
    assert "the file is gone" in caplog.text


def test_a_part_that_was_down_loses_its_old_figures_and_has_new_ones_when_it_is_up() -> None:
    seconds, way = Clock(), [lambda: equity(1.0)]
    monitor = Monitor({MONEY: lambda: way[-1]()}, lambda: NOW, seconds)
    key = ("scizor_equity", "paper", "main", "USD")
    assert shown(monitor)[key] == 1.0
    way.append(broken)
    seconds.now += KEPT_SECONDS[MONEY]
    assert key not in shown(monitor)
    way.append(lambda: equity(2.0))
    assert key not in shown(monitor)
    seconds.now += KEPT_SECONDS[MONEY]
    assert shown(monitor)[key] == 2.0


def test_a_part_is_read_once_for_all_who_ask_within_its_time() -> None:
    seconds, asked = Clock(), list[int]()
    monitor = Monitor({MONEY: lambda: asked.append(1) or equity(len(asked))}, lambda: NOW, seconds)
    for _ in range(5):
        shown(monitor)
    seconds.now += KEPT_SECONDS[MONEY] - 0.1
    shown(monitor)
    assert len(asked) == 1
    seconds.now += 0.1
    assert shown(monitor)["scizor_equity", "paper", "main", "USD"] == 2.0


def test_figures_of_accounts_that_a_key_may_not_see_are_left_out() -> None:
    monitor = Monitor({MONEY: lambda: equity(1.0), RUNS: lambda: runs(FIGURES)}, lambda: NOW)
    found = shown(monitor, lambda account: account == "other")
    assert [key for key in found if key[0] == "scizor_equity"] == [("scizor_equity", "other", "second", "USD")]
    assert found["scizor_runs", "queued"] == 1


def test_a_store_that_hangs_keeps_one_question_and_the_others_get_the_last_figures_while_they_are_new() -> None:
    seconds, entered, go_on = Clock(), Event(), Event()

    def slow() -> Readings:
        if seconds.now > 1000:
            entered.set()
            assert go_on.wait(30)
        return equity(seconds.now)

    monitor = Monitor({MONEY: slow}, lambda: NOW, seconds)
    key = ("scizor_equity", "paper", "main", "USD")
    assert shown(monitor)[key] == 1000
    seconds.now += KEPT_SECONDS[MONEY]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(shown, monitor)
        try:
            assert entered.wait(30)
            assert shown(monitor)[key] == 1000
            seconds.now = 1000 + OLDEST_SECONDS + 1
            with pytest.raises(Busy, match="have not answered"):
                monitor.text()
        finally:
            go_on.set()
        assert asking.result(30)[key] == seconds.now


def test_whoever_comes_first_to_a_store_that_hangs_is_not_followed_by_others() -> None:
    entered, go_on = Event(), Event()

    def slow() -> Readings:
        entered.set()
        assert go_on.wait(30)
        return equity(1)

    monitor = Monitor({MONEY: slow}, lambda: NOW)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(monitor.text)
        try:
            assert entered.wait(30)
            with pytest.raises(Busy):
                monitor.text()
        finally:
            go_on.set()
        assert b"scizor_equity" in asking.result(30)


def test_a_figure_that_the_catalogue_does_not_have_so_cannot_be_set() -> None:
    found = Readings(TRADING)
    with pytest.raises(KeyError):
        found.add("scizor_nonsense", 1)
    with pytest.raises(AssertionError):
        found.add("scizor_locks", 1, "paper")
    with pytest.raises(AssertionError):
        found.add("scizor_equity", 1, "paper", "main", "USD")


def test_no_label_can_grow_with_the_market() -> None:
    known = {"part", "version", "python", "market", "account", "portfolio", "state", "locks", "currency", "api", "side"}
    assert {label for metric in METRICS.values() for label in metric.labels} == known | {"daemon", "status"}
