"""`arm`, `disarm`, `approve` and `strategy`: what a person permits, refuses and is told, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import yaml

from scizor_dagster.brokers.protocol import BrokerIdentity
from scizor_dagster.cli.dates import parse_instant
from scizor_dagster.errors import InputError
from scizor_dagster.ledger.arming import Arming, arm, arming_of
from scizor_dagster.ledger.rows import batches_of
from scizor_dagster.ledger.store import Ledger
from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.projects import Project

WHO = ("--by", "ann")
NEW_YORK = ZoneInfo("America/New_York")
LIVE = {
    "broker": "alpaca",
    "environment": "live",
    "account_id": "932473521",
    "initial_cash": 100000.0,
    "url": "http://127.0.0.1:9",
}
ARM = ("arm", "main", "--account", "932473521", "--max-notional", "25,000")


def edit(project: Project, change: Callable[[dict], None]) -> None:
    config = yaml.safe_load(project.settings.config_path.read_text())
    change(config)
    project.settings.config_path.write_text(yaml.safe_dump(config, sort_keys=False))


def armed(project: Project, account: str = "paper", portfolio: str = "main") -> None:
    now = datetime.now(UTC)
    ledger = Ledger.open(project.settings.ledger_url)
    with ledger.transaction() as connection:
        arm(
            connection,
            account,
            portfolio,
            BrokerIdentity("alpaca", "live", "932473521"),
            until=now + timedelta(days=1),
            max_notional=Decimal(500),
            currency="USD",
            actor="ann",
            reason="",
            now=now,
        )
    ledger.close()


def standing(project: Project, account: str = "paper", portfolio: str = "main") -> Arming | None:
    ledger = Ledger.open(project.settings.ledger_url)
    with ledger.read() as connection:
        found = arming_of(connection, account, portfolio)
    ledger.close()
    return found


def test_a_time_without_an_offset_is_the_exchanges_own() -> None:
    assert parse_instant("2026-11-27T16:00", "--until", NEW_YORK) == datetime(2026, 11, 27, 21, tzinfo=UTC)
    assert parse_instant("2026-11-27 16:00:30+01:00", "--until", NEW_YORK) == datetime(
        2026, 11, 27, 15, 0, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [
        ("2026-11-27", NEW_YORK, "is no time"),
        ("friday", NEW_YORK, "is no time"),
        ("2026-11-27T16:00", None, "is no time with its zone"),
        ("2026-11-01T01:30", NEW_YORK, "comes twice or not at all"),
        ("2026-03-08T02:30", NEW_YORK, "comes twice or not at all"),
    ],
)
def test_a_time_that_is_none_or_that_the_clocks_leave_open_is_refused(
    text: str, zone: ZoneInfo | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        parse_instant(text, "--until", zone)


def test_a_paper_account_is_not_armed_and_a_live_one_only_as_the_broker_answers(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = ("--until", (datetime.now(UTC) + timedelta(days=1)).isoformat())
    answer = scizor(*ARM, *until, *WHO)
    assert (answer.code, "is paper and needs no arming" in answer.sentence) == (2, True)
    edit(fresh, lambda config: config["accounts"].update(paper=LIVE))
    monkeypatch.setenv("APCA_API_KEY_ID", "AKX")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "geheim-4711")
    for wrong, words in (
        (("--max-notional", "0"), "is no amount"),
        (("--max-notional", "lots"), "is no amount"),
        (("--account", "932473522"), "pinned as another one"),
        (("--until", "2020-01-01T10:00"), "has passed"),
        (("--until", (datetime.now(UTC) + timedelta(days=8)).isoformat()), "more than 7 days ahead"),
    ):
        answer = scizor(*ARM, *until, *WHO, *wrong)
        assert (answer.code, words in answer.sentence) == (2, True), answer
    monkeypatch.setattr("scizor_dagster.brokers.alpaca.transport._BACKOFF", (0.0,))
    answer = scizor(*ARM, *until, *WHO)
    assert (answer.code, "geheim" in answer.err) == (1, False)
    assert standing(fresh) is None


def test_an_arming_is_said_back_in_the_exchanges_time(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(fresh, lambda config: config["accounts"].update(paper=LIVE))
    monkeypatch.setenv("APCA_API_KEY_ID", "AKX")
    monkeypatch.setenv("APCA_API_SECRET_KEY", "s")
    identity = BrokerIdentity("alpaca", "live", "932473521")
    monkeypatch.setattr("scizor_dagster.brokers.alpaca.broker.AlpacaBroker.identity", lambda self: identity)
    until = (datetime.now(NEW_YORK) + timedelta(days=1)).replace(hour=16, minute=0)
    local = ("--until", f"{until:%Y-%m-%dT%H:%M}")
    answer = scizor(*ARM, *local, *WHO)
    assert answer.code == 0, answer
    assert f"until {until:%A %Y-%m-%d} 16:00 E" in " ".join(answer.out.split())
    assert "scizor disarm main" in answer.out
    again = scizor(*ARM, *local, *WHO, "--json")
    assert again.json["max_notional"] == "25000"
    assert again.json["replaced"].startswith("armed by ann at")
    found = standing(fresh)
    assert found is not None
    assert (found.number, found.actor, found.max_notional) == (2, "ann", 25000)


@pytest.mark.parametrize("broken", [False, True])
def test_disarming_needs_the_ledger_alone(scizor: Scizor, fresh: Project, broken: bool) -> None:
    armed(fresh)
    armed(fresh, portfolio="other")
    if broken:
        fresh.settings.config_path.write_text("risk: [1,")
    answer = scizor("disarm", "main", *WHO)
    assert (answer.code, "is disarmed; it was armed by ann" in answer.out) == (0, True), answer
    assert ("The configuration cannot be read" in answer.err) == broken
    assert standing(fresh) is None
    assert standing(fresh, portfolio="other") is not None
    assert "main was not armed" in scizor("disarm", "main", *WHO).out
    assert scizor("disarm", "other", *WHO, "--json").json["disarmed"] == ["paper"]


def test_disarming_a_name_that_nobody_knows_is_refused(scizor: Scizor, fresh: Project) -> None:
    armed(fresh)
    answer = scizor("disarm", "mian", *WHO)
    assert (answer.code, "no portfolio 'mian'" in answer.sentence) == (2, True)
    assert standing(fresh) is not None


def test_a_plan_waits_is_shown_approved_and_then_carried_out(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(collected, lambda config: config["portfolios"]["main"].update(approval="manual"))
    run = ("run", "--date", NEXT, "--once")
    waiting = scizor(*run, "--json")
    assert (waiting.code, waiting.json.get("state")) == (1, "awaiting_approval"), waiting
    plan_id = waiting.json["awaiting_approval"]
    assert f"scizor approve {plan_id[:12]}" in waiting.json["note"]

    shown = scizor("approve", "main", "--date", NEXT, "--show", "--json").json
    assert shown["plan_id"] == plan_id
    assert shown["compared_with"] == TRADED.isoformat()
    changed = {row["symbol"]: (float(row["from"]), float(row["to"])) for row in shown["changed_targets"]}
    assert changed == {"AAPL": (0.3, 0.0), "MSFT": (0.3, 0.4), "NVDA": (0.0, 0.3)}
    evening = datetime.combine(NEXT, time(17), NEW_YORK)
    with monkeypatch.context() as patch:
        patch.setattr("scizor_dagster.cli.dates.now", lambda: evening)
        assert scizor("approve", "main", "--show", "--json").json["plan_id"] == plan_id, "today's, after the close too"
        patch.setattr("scizor_dagster.cli.dates.now", lambda: evening - timedelta(days=1))
        assert "is not a session of XNYS" in scizor("approve", "main").sentence
    asked = scizor("approve", "main", "--date", NEXT, *WHO)
    assert (asked.code, "Nobody can be asked here" in asked.sentence) == (2, True)
    assert "Targets that changed" in asked.out

    assert scizor("approve", plan_id[:7], "--yes", *WHO).code == 2
    assert scizor("approve", plan_id[:8], "--date", NEXT, "--yes", *WHO).code == 2
    done = scizor("approve", plan_id[:8], "--yes", *WHO)
    assert (done.code, "approved by ann" in done.out) == (0, True), done
    assert scizor("approve", "main", "--date", NEXT, "--yes", *WHO).code == 1
    traded = scizor(*run, "--json")
    assert (traded.code, traded.json["state"]) == (0, "reconciled"), traded
    assert traded.json["permitted"].startswith("approved by ann at")
    late = scizor("approve", "main", "--date", NEXT, "--yes", *WHO)
    assert (late.code, "is carried out already" in late.sentence) == (2, True)
    ledger = Ledger.open(collected.settings.ledger_url)
    with ledger.read() as connection:
        assert [batch.plan_id for batch in batches_of(connection, "paper", "main", NEXT)] == [plan_id]
    ledger.close()


def test_a_strategy_is_paused_listed_and_resumed(scizor: Scizor, collected: Project) -> None:
    why = ("--reason", "its data looks wrong", *WHO)
    (row,) = scizor("strategy", "list", "--json").json["strategies"]
    assert (row["strategy"], row["portfolio"], row["state"], row["by"]) == ("weekly", "main", "running", None)
    assert row["first_seen"]
    paused = scizor("strategy", "pause", "weekly", *why)
    assert (paused.code, "no order comes from it" in paused.out) == (0, True)
    assert scizor("strategy", "pause", "weekly", *why).code == 2
    (row,) = scizor("strategy", "list", "--json").json["strategies"]
    assert (row["state"], row["by"], row["reason"]) == ("paused", "ann", "its data looks wrong")
    (collected.folder / "weights.csv").unlink()
    rested = scizor("run", "--date", NEXT, "--once", "--json")
    assert (rested.code, rested.json["orders"]) == (0, 0), rested
    assert scizor("strategy", "resume", "weekly", *why).code == 0
    assert scizor("strategy", "stop", "nope", *why).code == 2
    assert scizor("strategy", "stop", "weekly", "--reason", " ", *WHO).code == 2
    stopped = scizor("strategy", "stop", "weekly", "--liquidate", *why, "--json").json
    assert [(item["state"], item["liquidate"]) for item in stopped["changed"]] == [("stopped", True)]


def test_a_strategy_of_several_portfolios_is_changed_in_all_of_them_or_in_none(scizor: Scizor, fresh: Project) -> None:
    def halve(config: dict) -> None:
        main = config["portfolios"]["main"] | {"capital": {"share": 0.5}}
        config["portfolios"] = {"main": main, "other": deepcopy(main)}

    edit(fresh, halve)
    why = ("--reason", "its data looks wrong", *WHO)
    assert scizor("strategy", "pause", "weekly", "--portfolio", "other", *why).code == 0
    refused = scizor("strategy", "pause", "weekly", *why)
    assert (refused.code, "is paused in portfolio 'other'" in refused.sentence) == (2, True)
    states = {row["portfolio"]: row["state"] for row in scizor("strategy", "list", "--json").json["strategies"]}
    assert states == {"main": "running", "other": "paused"}, "Nothing was changed, it said"
    stopped = scizor("strategy", "stop", "weekly", *why, "--json").json
    assert [item["portfolio"] for item in stopped["changed"]] == ["main", "other"]
