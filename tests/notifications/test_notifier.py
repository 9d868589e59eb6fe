"""Each notice to whom it is for, once; a failure again, a bounded number of times; and no address anywhere."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.config import NotificationRules
from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import notices
from scizor_dagster.ledger.notice_tables import notices as stored
from scizor_dagster.ledger.notices import MOST_ATTEMPTS
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.notifications import notifier as module
from scizor_dagster.notifications.delivery import NotTold
from scizor_dagster.notifications.notice import Notice, notice
from scizor_dagster.notifications.notifier import BUDGET, Notifier
from scizor_dagster.notifications.redaction import Redaction
from tests.notifications.listener import Listener

TOKEN = "7c4f-hidden-token-99"
START = datetime(2026, 11, 20, 21, tzinfo=UTC)
HALT = Notice("halt", "portfolio main", "2026-11-20", "main is halted", "By ann.\nThen resume.", {"by": "ann"})
DAY = Notice("daily_summary", "portfolio main", "2026-11-20", "main: +1 %", "Nothing to do.")
TRIAL = Notice("test", "test", "now", "a test", "Nothing to do.")
PHONE_AND_MAIL = {"targets": ({"url": "${PHONE}"}, {"url": "${MAIL}", "events": ("break",)})}
Told = list[tuple[str, str, str]]


class World:
    """A clock that a test moves, an environment, and the ledger that remembers."""

    def __init__(self, ledger: Ledger | None, folder: Path) -> None:
        self.now = START
        self.ledger = ledger
        self.folder = folder
        self.environment = {"PHONE": f"json://127.0.0.1:9/{TOKEN}", "MAIL": "json://127.0.0.1:9/mail"}

    def notifier(self, stopwatch: Callable[[], float] = lambda: 0.0, **rules: Any) -> Notifier:
        """A new process's."""
        return Notifier(
            NotificationRules.model_validate(rules or {"targets": ({"url": "${PHONE}"},)}),
            self.environment,
            self.folder,
            lambda: self.ledger,
            lambda: self.now,
            Redaction([], [self.environment["PHONE"]]),
            stopwatch,
        )


@pytest.fixture
def world(ledger_url: str, tmp_path: Path) -> World:
    return World(Ledger.open(ledger_url), tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Who was told what, in place of any address; `failing` names those that take nothing."""
    found: Told = []

    def tell(name: str, url: str, notice: Notice, *, timeout: float) -> None:
        found.append((name, url, notice.title))
        if url.endswith("/refuses"):
            raise NotTold(name, "it answered with HTTP status 500")

    monkeypatch.setattr(module, "tell_address", tell)
    return found


def titles(told: Told) -> list[tuple[str, str]]:
    return [(name, title) for name, _, title in told]


def test_a_fact_is_told_once_also_after_a_restart(world: World, told: Told) -> None:
    [outcome] = world.notifier().tell([HALT, HALT])
    assert outcome.went
    world.now += timedelta(days=3)
    assert world.notifier().tell([HALT], again=True) == []
    assert titles(told) == [("PHONE", "main is halted")]


def test_each_target_hears_what_it_takes_and_what_nobody_takes_is_a_line_in_the_log(
    world: World, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    world.notifier(**PHONE_AND_MAIL).tell([HALT, Notice("break", "s", "o", "a break", "Look.")])
    assert titles(told) == [("PHONE", "main is halted"), ("PHONE", "a break"), ("MAIL", "a break")]
    caplog.clear()
    only_breaks = {"targets": ({"url": "${MAIL}", "events": ("break",)},)}
    world.notifier(**only_breaks).tell([HALT])
    assert [record.getMessage() for record in caplog.records] == ["main is halted: By ann. Then resume."]


def test_without_a_target_a_notice_is_one_line_in_the_log_and_nothing_is_sent(
    world: World, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        world.notifier(targets=()).tell([HALT])
    assert [record.getMessage() for record in caplog.records] == ["main is halted: By ann. Then resume."]
    assert told == []


def test_what_is_switched_off_is_told_to_nobody(world: World, told: Told) -> None:
    world.notifier().tell([DAY])
    world.notifier(targets=({"url": "${PHONE}"},), events={"halt": False}).tell([HALT])
    assert told == []
    world.notifier(targets=({"url": "${PHONE}"},), events={"daily_summary": True}).tell([DAY])
    assert titles(told) == [("PHONE", "main: +1 %")]


def test_a_failure_is_tried_again_for_that_target_alone_and_in_the_end_given_up(world: World, told: Told) -> None:
    world.environment["PHONE"] += "/refuses"
    rules = {"targets": ({"url": "${PHONE}"}, {"url": "${MAIL}"})}
    first, second = world.notifier(**rules).tell([HALT])
    assert (first.target, first.failure) == ("PHONE", "PHONE was not told: it answered with HTTP status 500.")
    assert (second.target, second.went) == ("MAIL", True)
    # What has happened may be over by now: it is told all the same.
    for _ in range(4 * 60):
        world.now += timedelta(minutes=1)
        world.notifier(**rules).tell([], again=True)
    assert titles(told).count(("PHONE", "main is halted")) == MOST_ATTEMPTS
    assert titles(told).count(("MAIL", "main is halted")) == 1
    assert world.ledger is not None
    with world.ledger.read() as connection:
        assert [row.target for row in notices.given_up(connection)] == ["PHONE"]


def test_a_target_that_works_again_is_told_what_it_missed(world: World, told: Told) -> None:
    world.environment["PHONE"] += "/refuses"
    world.notifier().tell([HALT])
    world.environment["PHONE"] = world.environment["PHONE"].removesuffix("/refuses")
    world.now += timedelta(minutes=1)
    [outcome] = world.notifier().tell([], again=True)
    assert outcome.went
    world.now += timedelta(hours=1)
    assert world.notifier().tell([HALT], again=True) == []


def test_what_was_missed_is_not_told_to_who_takes_it_no_more_and_a_test_is_not_tried_again(
    world: World, told: Told
) -> None:
    world.environment["PHONE"] += "/refuses"
    world.notifier().tell([HALT, TRIAL])
    world.now += timedelta(minutes=5)
    for rules in ({"targets": ({"url": "${MAIL}"},)}, {"targets": ({"url": "${PHONE}", "events": ("break",)},)},
                  {"targets": ({"url": "${PHONE}"},), "events": {"halt": False}}):  # fmt: skip
        assert world.notifier(**rules).tell([], again=True) == []
    assert [item.title for item in world.notifier().tell([], again=True)] == ["main is halted"]


def test_a_death_between_sending_and_remembering_tells_twice_rather_than_never(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module.Records, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.notifier().tell([HALT])
    assert world.notifier().tell([HALT]) == []
    world.now += timedelta(minutes=1)
    world.notifier().tell([HALT])
    world.now += timedelta(days=1)
    world.notifier().tell([HALT], again=True)
    assert titles(told) == [("PHONE", "main is halted")] * 2


def test_without_a_ledger_the_process_remembers_and_tries_again(world: World, told: Told) -> None:
    world.ledger = None
    world.environment["PHONE"] += "/refuses"
    notifier = world.notifier()
    notifier.tell([HALT])
    assert notifier.tell([HALT], again=True) == []
    world.now += timedelta(minutes=1)
    world.environment["PHONE"] = world.environment["PHONE"].removesuffix("/refuses")
    assert [item.went for item in notifier.tell([], again=True)] == [True]
    world.now += timedelta(days=1)
    assert notifier.tell([HALT], again=True) == []
    assert len(told) == 2


@pytest.mark.parametrize("error", [LedgerError("The disk is full.", remedy="Make room."), RuntimeError(TOKEN)])
def test_a_ledger_that_cannot_be_written_keeps_nobody_from_being_told_once_by_a_process(
    world: World, told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Ledger, "transaction", fails)
    monkeypatch.setattr(Ledger, "read", fails)
    notifier = world.notifier()
    for _ in range(3):
        notifier.tell([HALT], again=True)
        world.now += timedelta(hours=1)
    assert titles(told) == [("PHONE", "main is halted")]
    assert "What is told is not remembered" in caplog.text
    assert "What was not told before is not known" in caplog.text
    assert TOKEN not in caplog.text


def test_a_ledger_that_can_be_written_again_takes_over_what_the_process_did_not_get_out(
    world: World, told: Told
) -> None:
    ledger, world.ledger = world.ledger, None
    world.environment["PHONE"] += "/refuses"
    notifier = world.notifier()
    notifier.tell([HALT])
    world.ledger = ledger
    world.environment["PHONE"] = world.environment["PHONE"].removesuffix("/refuses")
    world.now += timedelta(minutes=1)
    assert [item.went for item in notifier.tell([HALT], again=True)] == [True]
    world.now += timedelta(days=1)
    assert world.notifier().tell([HALT], again=True) == []


def test_a_ledger_that_is_lost_after_the_sending_is_said_and_harms_nobody(
    world: World, told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise LedgerError("The disk is full.", remedy="Make room.")

    monkeypatch.setattr(notices, "settle", fails)
    assert [item.went for item in world.notifier().tell([HALT])] == [True]
    assert "What PHONE was told may be told again" in caplog.text


def test_an_error_that_nobody_has_thought_of_ends_one_notice_and_no_other(
    world: World, told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = module.tell_address

    def fails(name: str, url: str, notice: Notice, *, timeout: float) -> None:
        if notice is not None and notice.event == "halt":
            raise ValueError(TOKEN)
        tell(name, url, notice, timeout=timeout)

    monkeypatch.setattr(module, "tell_address", fails)
    outcomes = world.notifier().tell([HALT, TRIAL])
    assert [item.title for item in outcomes] == ["a test"]
    assert "Telling PHONE failed with ValueError." in caplog.text
    assert TOKEN not in caplog.text


def test_a_call_that_takes_long_leaves_the_rest_to_the_next_one(world: World, told: Told) -> None:
    seconds = iter([0.0, 1.0, BUDGET + 1.0])
    rules = {"targets": ({"url": "${PHONE}"}, {"url": "${MAIL}"})}
    assert [item.target for item in world.notifier(lambda: next(seconds), **rules).tell([HALT])] == ["PHONE"]
    world.now += timedelta(minutes=1)
    assert [item.target for item in world.notifier(**rules).tell([HALT])] == ["MAIL"]


def test_what_there_was_no_time_for_is_told_though_nobody_asks_for_it_again(world: World, told: Told) -> None:
    seconds = iter([0.0, BUDGET + 1.0])
    world.notifier(lambda: next(seconds)).tell([HALT, Notice("break", "s", "o", "a break", "Look.")], again=True)
    assert titles(told) == []
    world.now += timedelta(minutes=1)
    world.notifier().tell([], again=True)
    assert sorted(titles(told)) == [("PHONE", "a break"), ("PHONE", "main is halted")]


def test_a_line_in_the_log_is_not_put_off(world: World, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    seconds = iter([0.0, BUDGET + 1.0])
    world.notifier(lambda: next(seconds), targets=()).tell([HALT])
    assert any("main is halted" in record.message for record in caplog.records)


def test_a_secret_at_the_place_where_a_text_is_cut_leaves_no_part_of_it(world: World, told: Told) -> None:
    lines = ("x" * (1180 - len("Do this.")) + f" {TOKEN} " + "y" * 900, "Do this.")
    world.notifier().tell([notice("halt", "s", "o", f"{'t' * 90} {TOKEN}", *lines)])
    with world.ledger.read() as connection:
        (row,) = connection.execute(sa.select(stored.c.title, stored.c.body))
    for text in row:
        assert TOKEN[:4] not in text
    assert row.body.endswith("...\nDo this.")


def test_an_address_whose_variable_is_unset_is_named_by_it(world: World, told: Told) -> None:
    world.environment["PHONE"] = " "
    notifier = world.notifier()
    [outcome] = notifier.tell([HALT])
    assert outcome.failure == "PHONE was not told: the environment variable PHONE is unset or empty."
    assert [item.kind for item in notifier.channels] == ["not set"]
    assert told == []


def test_each_target_is_looked_at_without_telling_it_anything(
    world: World, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(name: str, url: str, *, timeout: float) -> None:
        if "mail" in url:
            raise NotTold(name, f"{TOKEN} is none that Apprise knows")

    monkeypatch.setattr(module, "check_address", check)
    targets = tuple({"url": f"${{{name}}}"} for name in ("PHONE", "MAIL", "NOWHERE"))
    found = world.notifier(targets=targets, program=("./no-such-program",)).check()
    assert [(row.target, row.kind, row.went) for row in found] == [
        ("PHONE", "json://***", True),
        ("MAIL", "json://***", False),
        ("NOWHERE", "not set", False),
        ("program", "program", False),
    ]
    assert TOKEN not in found[1].failure
    assert found[2].failure == "the environment variable NOWHERE is unset or empty"
    assert told == []


def test_a_program_is_a_target_like_any_other(world: World, tmp_path: Path) -> None:
    script = tmp_path / "tell.sh"
    script.write_text("#!/bin/sh\ncat >> heard.txt; echo complaint >&2; exit ${CODE:-0}\n", encoding="utf-8")
    script.chmod(0o755)
    for _ in range(2):
        world.notifier(program=("./tell.sh",)).tell([HALT])
    heard = (tmp_path / "heard.txt").read_text(encoding="utf-8")
    assert heard.count("main is halted") == 1
    assert '"at": "2026-11-20T21:00:00+00:00"' in heard


def test_what_is_told_every_time_is_not_remembered_and_goes_to_no_log(world: World, told: Told) -> None:
    well = Notice("all_well", "watchdog", "now", "All is well", "Nothing.")
    assert world.notifier().tell_every_time(well) == []
    on = {"events": {"all_well": True}}
    for _ in range(2):
        world.notifier(targets=({"url": "${PHONE}"}, {"url": "${MAIL}", "events": ("halt",)}), **on).tell_every_time(
            well
        )
    assert world.notifier(**on).tell_every_time(well) == []
    assert titles(told) == [("PHONE", "All is well")] * 2


def test_nothing_of_an_address_or_a_secret_stands_in_log_outcome_or_ledger(
    world: World, listener: Listener, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    world.environment["PHONE"] = listener.url(TOKEN)
    spilling = Notice("halt", "portfolio main", "now", f"it said {TOKEN}", f"{TOKEN} at {listener.url(TOKEN)}",
                      {"rows": [{"said": TOKEN}], "count": 1, "none": None})  # fmt: skip
    said = [world.notifier().tell([spilling])]
    listener.status = 403
    said.append(world.notifier().tell([HALT]))
    assert [item.went for items in said for item in items] == [True, False]
    assert listener.paths == [f"/{TOKEN}"] * 2
    assert listener.titles == ["it said ***", "main is halted"]
    assert "HTTP status 403" in caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"main is halted" in path.read_bytes() for path in files)
    for text in (caplog.text, repr(said), repr(world.notifier().rules), repr(world.notifier().channels)):
        assert TOKEN not in text
    assert not any(TOKEN.encode() in path.read_bytes() for path in files)
