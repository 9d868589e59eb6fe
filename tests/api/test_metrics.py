"""`/metrics` of the whole application: every figure, for keys with that scope alone, and never on the event loop."""

from __future__ import annotations

import asyncio
import shutil
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scizor_dagster.api.metrics import Monitoring
from scizor_dagster.cli.dagster_figures import dagster_figures
from scizor_dagster.ledger.api_keys import Scope
from scizor_dagster.monitoring.catalogue import METRICS, PARTS
from scizor_dagster.monitoring.exposition import Monitor
from scizor_dagster.monitoring.readings import Readings
from tests.api.client import Client
from tests.api.conftest import key_for
from tests.projects import Project

NOT_HERE = {"scizor_armed_until_timestamp_seconds", "scizor_requests_left", "scizor_requests_limit"}
"""Nothing in the filled home trades real money or asks a broker; each has a test of its own."""


def names(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text) if family.samples}


def test_a_home_that_has_traded_shows_every_figure(api: Client) -> None:
    answer = api.get("/metrics")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert names(answer.text) | NOT_HERE == set(METRICS)
    for part in PARTS:
        assert f'scizor_up{{part="{part}"}} 1.0' in answer.text


def test_a_home_without_stores_is_shown_as_it_is_and_gets_none(empty_api: Client, fresh: Project) -> None:
    text = empty_api.get("/metrics").text
    for part in PARTS:
        assert f'scizor_up{{part="{part}"}} 1.0' in text
    assert 'scizor_prices_newest_close_timestamp_seconds{market="us"} 0.0' in text
    assert "scizor_equity" not in text
    assert not fresh.settings.lake_folder.exists()


def test_a_lake_that_cannot_be_read_leaves_the_ledger_to_be_shown(api: Client, project: Project) -> None:
    shutil.rmtree(project.settings.lake_folder / "data")
    text = api.get("/metrics").text
    assert 'scizor_up{part="prices"} 0.0' in text
    assert 'scizor_up{part="trading"} 1.0' in text
    assert 'scizor_orders_unknown{account="paper",portfolio="main"} 0.0' in text


def test_the_key_of_prometheus_opens_the_figures_and_nothing_else(api: Client, project: Project) -> None:
    scraper = api.holding(key_for(project, {Scope.METRICS}))
    assert scraper.get("/metrics").status == 200
    assert scraper.get("/api/health").status == 403
    assert api.holding(key_for(project, set(Scope) - {Scope.METRICS})).get("/metrics").status == 403
    assert api.holding(None).get("/metrics").status == 401


def test_stores_are_read_in_a_thread_and_a_store_that_hangs_is_answered_with_503(
    empty_api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on, threads = threading.Event(), threading.Event(), list[threading.Thread]()

    def slow() -> Readings:
        threads.append(threading.current_thread())
        entered.set()
        assert go_on.wait(30)
        return Readings("prices")

    monitor = Monitor({"prices": slow}, empty_api.app.state.context.clock)
    monkeypatch.setattr(Monitoring, "of", lambda *_: monitor)

    async def two() -> tuple[int, int, int]:
        first = asyncio.ensure_future(empty_api.asking("GET", "/metrics"))
        await asyncio.to_thread(entered.wait, 30)
        second, other = await empty_api.asking("GET", "/metrics"), await empty_api.asking("GET", "/api/health")
        go_on.set()
        return second.status, other.status, (await first).status

    assert empty_api.run(two()) == (503, 200, 200)
    assert threads
    assert threads[0] is not threading.current_thread()


def test_what_dagster_does_is_nothing_without_an_instance(empty_api: Client) -> None:
    context = empty_api.app.state.context
    assert dagster_figures(context.settings, context.clock) is None
