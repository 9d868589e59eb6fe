"""Who waits for a look into the lake, and how old an answer may be."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import pytest

from scizor_dagster.api.data_farmer import freshness as module
from scizor_dagster.api.data_farmer.freshness import Freshness, freshness_of
from scizor_dagster.api.runs import Runs, RunState, RunStatus
from scizor_dagster.flow.desk import Desk
from scizor_dagster.market_data.adjustment import rebuild_prices
from tests.api.client import Client
from tests.api.conftest import NOW
from tests.projects import Project

ANYWHERE: Any = None
WEEK = {"start_date": "2025-01-06", "end_date": "2025-01-10", "market": "us"}


class Watched(Freshness):
    """A lake whose mark is a number; looks are counted, and wait for `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = (1, 0, 1)
        self.looks = 0
        self.go_on = Event()
        self.go_on.set()
        self.begun = Event()
        self.error: Exception | None = None

    def _mark(self) -> tuple[int, ...]:
        return self.written

    def _look(self, context: Any) -> None:
        self.looks += 1
        self.begun.set()
        assert self.go_on.wait(60)
        if self.error is not None:
            raise self.error


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The monotonic clock, in ns, as its one item; it goes on by one with each look at it."""
    time = [10**12]

    def tick() -> int:
        time[0] += 1
        return time[0]

    monkeypatch.setattr(module.time, "monotonic_ns", tick)
    return time


async def looking(watched: Watched) -> asyncio.Task[None]:
    """Somebody who has found that something was written, and whose look is under way."""
    watched.begun.clear()
    watched.go_on.clear()
    watched.written = (1, 0, watched.written[2] + 1)
    first = asyncio.create_task(watched.wait(ANYWHERE))
    await asyncio.to_thread(watched.begun.wait, 60)
    return first


def test_nobody_looks_while_nothing_is_written_and_whoever_finds_that_something_was_does() -> None:
    watched = Watched()

    async def ask() -> list[int]:
        looks = []
        for written in (1, 1, 2, 2):
            watched.written = (1, 0, written)
            await watched.wait(ANYWHERE)
            looks.append(watched.looks)
        return looks

    assert asyncio.run(ask()) == [1, 1, 2, 2]


def test_while_somebody_looks_the_others_do_not_wait_for_a_second_and_then_they_do(now: list[int]) -> None:
    watched = Watched()

    async def ask() -> None:
        await watched.wait(ANYWHERE)
        first = await looking(watched)
        await asyncio.wait_for(watched.wait(ANYWHERE), 60)
        assert (first.done(), watched.looks) == (False, 2)
        now[0] += 2 * 10**9
        late = asyncio.create_task(watched.wait(ANYWHERE))
        await asyncio.sleep(0)
        assert not late.done()
        watched.go_on.set()
        await asyncio.gather(first, late)

    asyncio.run(ask())
    assert watched.looks == 2


def test_what_was_settled_is_in_every_answer_after_it_even_where_nobody_could_look(now: list[int]) -> None:
    watched = Watched()

    async def ask() -> None:
        await watched.wait(ANYWHERE)
        watched.error = OSError("the lake is gone")
        await asyncio.to_thread(watched.settle, ANYWHERE)
        watched.error = None
        first = await looking(watched)
        second = asyncio.create_task(watched.wait(ANYWHERE))
        await asyncio.sleep(0)
        assert not second.done()
        watched.go_on.set()
        await asyncio.gather(first, second)

    asyncio.run(ask())


def test_an_error_of_a_look_is_told_to_all_who_wait_for_it_and_the_next_one_looks_again() -> None:
    watched = Watched()

    async def ask() -> None:
        watched.error = OSError("the lake is gone")
        first = await looking(watched)
        second = asyncio.create_task(watched.wait(ANYWHERE))
        await asyncio.sleep(0)
        watched.go_on.set()
        told = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(item) for item in told] == [OSError, OSError]
        watched.error = None
        await watched.wait(ANYWHERE)

    asyncio.run(ask())
    assert watched.looks == 2


def test_a_look_of_a_loop_that_was_closed_keeps_nobody_waiting() -> None:
    watched = Watched()

    gone = asyncio.new_event_loop()
    watched._looking = gone.create_future()
    gone.close()
    asyncio.run(watched.wait(ANYWHERE))
    assert watched.looks == 1


def test_prices_that_another_process_stores_are_in_the_very_next_answer(farm: Client, priced: Project) -> None:
    before = farm.get("/api/data/MSFT", query=WEEK)
    lake = Desk(priced.settings, lambda: NOW).lake
    with lake.write() as cursor:
        cursor.execute("UPDATE bars SET volume = volume + 1 WHERE symbol = 'MSFT'")
    rebuild_prices(lake, "us", NOW)
    lake.close()
    after = farm.get("/api/data/MSFT", query=WEEK)
    assert [b - a for a, b in zip(before.json["bars"]["volume"], after.json["bars"]["volume"], strict=True)] == [1] * 4
    assert before.headers["etag"] != after.headers["etag"]


def test_a_collection_is_told_as_ended_when_what_it_has_stored_is_in_every_answer(
    farm: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, status = list[str](), [RunStatus.RUNNING]
    monkeypatch.setattr(Freshness, "settle", lambda *_: settled.append(path))
    monkeypatch.setattr(Runs, "state", lambda *_: RunState("1", "collect_daily", status[0], {}))
    path = "/api/collections/1"
    assert (farm.get(path).json["status"], settled) == ("running", [])
    status[0] = RunStatus.SUCCEEDED
    for path in ("/api/collections/1", "/api/collections/1/progress", "/api/collections"):
        assert farm.get(path).status == 200
    assert settled == ["/api/collections/1", "/api/collections/1/progress", "/api/collections"]


def test_an_answer_that_is_kept_takes_no_thread(farm: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = farm.get("/api/data/MSFT", query=WEEK)
    fresh = freshness_of(farm.app.state.context)
    monkeypatch.setattr(fresh, "_is_unchanged", lambda _: True)
    for place in ("scizor_dagster.api.data_farmer.prices", "scizor_dagster.api.data_farmer.freshness"):
        monkeypatch.setattr(f"{place}.run_in_threadpool", lambda *_: pytest.fail("a thread was taken"))
    assert farm.get("/api/data/MSFT", query=WEEK).body == first.body
