"""`scizor ledger`: verified and rebuilt, as a person does it."""

import io
import sqlite3
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.ledger.replay import journaled
from tests.cli.conftest import NEXT, TRADED, UNNAMED, Scizor
from tests.projects import Project


def _ledger(project: Project) -> Path:
    return project.home / "ledger.sqlite"


def _rows(project: Project, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(_ledger(project)) as connection:
        return connection.execute(statement).fetchall()


SENT = "SELECT client_order_id, qty FROM paper_orders ORDER BY client_order_id"
OWNED = "SELECT portfolio, symbol, CAST(qty AS REAL) FROM positions ORDER BY symbol"


def _lose_all_but_the_exchange(project: Project) -> None:
    with sqlite3.connect(_ledger(project)) as connection:
        for name in [*(table.name for table in reversed(journaled())), "events", "leases"]:
            connection.execute(f"DELETE FROM {name}")


def test_a_ledger_that_nobody_touched_is_whole(scizor: Scizor, collected: Project) -> None:
    answer = scizor("ledger", "verify", "--json")
    assert (answer.code, answer.json) == (0, {"whole": True, "found": [], "altered_plans": []})
    assert "is what its history says" in scizor("ledger", "verify").out


def test_a_number_that_was_edited_is_named_with_what_it_was(scizor: Scizor, collected: Project) -> None:
    with sqlite3.connect(_ledger(collected)) as connection:
        fill_id, price = connection.execute("SELECT fill_id, price FROM trades ORDER BY fill_id").fetchone()
        connection.execute("UPDATE trades SET price = '1' WHERE fill_id = ?", [fill_id])
    answer = scizor("ledger", "verify", "--json")
    assert answer.code == 1
    assert answer.json["found"] == [
        f"trades: row paper, {fill_id}, 1 has price '1', and the history says '{price}'.",
    ]
    assert "Restore the last backup" in scizor("ledger", "verify").out
    refused = scizor("backup")
    assert refused.code == 1
    assert "not what its history says" in refused.sentence


def test_a_plan_whose_version_was_edited_is_named_although_the_ledger_is_whole(
    scizor: Scizor, collected: Project
) -> None:
    lake = Lake(LakeLocation.embedded(collected.home / "lake"))
    with lake.write() as cursor:
        cursor.execute("UPDATE plans SET code_version = '9'")
    lake.close()
    answer = scizor("ledger", "verify", "--json")
    assert (answer.code, answer.json["whole"], answer.json["found"]) == (1, True, [])
    (sentence,) = answer.json["altered_plans"]
    assert ": code_version is 9, and must be" in sentence
    told = scizor("ledger", "verify")
    assert (told.code, "Restore the lake" in told.out, "Trade nothing" in told.out) == (1, True, False)


def test_a_lost_ledger_is_rebuilt_from_the_exchange_and_its_session_is_not_traded_twice(
    scizor: Scizor, collected: Project
) -> None:
    sent, owned = _rows(collected, SENT), _rows(collected, OWNED)
    _lose_all_but_the_exchange(collected)
    answer = scizor("ledger", "rebuild", "--account", "paper", "--first", TRADED, "--yes", "--by", "ann", "--json")
    assert (answer.code, len(answer.json["orders"]), answer.json["strangers"]) == (0, len(sent), [])
    assert _rows(collected, OWNED) == owned
    assert all(float(row["foreign"]) == 0 for row in answer.json["positions"])
    assert scizor("ledger", "verify").code == 0
    scizor("resume", "--account", "paper", "--reason", "looked at it")
    scizor("run", "--date", TRADED, "--once")
    assert _rows(collected, SENT) == sent


def test_a_ledger_that_is_rebuilt_from_a_part_of_its_history_reconciles_and_plans_on_what_a_person_has_said(
    scizor: Scizor, collected: Project
) -> None:
    owned = _rows(collected, OWNED)
    ((cash,),) = _rows(collected, "SELECT cash FROM paper_accounts")
    _lose_all_but_the_exchange(collected)
    asked = ("ledger", "rebuild", "--account", "paper", "--first", UNNAMED, "--yes", "--by", "ann")
    answer = scizor(*asked, "--adopt-to", "main", "--cash", cash)
    assert (answer.code, "is not compared any more" in " ".join(answer.out.split())) == (0, True), answer
    assert _rows(collected, OWNED) == owned
    compared = scizor("reconcile", "--date", UNNAMED, "--json")
    assert compared.code == 0, compared
    scizor("resume", "--account", "paper", "--reason", "looked at it")
    assert "its capital is now" not in scizor("run", "--date", NEXT, "--once").err


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_rebuild_asks_first_and_says_what_it_needs(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _rows(collected, "SELECT max(seq) FROM events")
    monkeypatch.setattr("sys.stdin", _Terminal("n\n"))
    declined = scizor("ledger", "rebuild", "--account", "paper")
    assert (declined.code, declined.sentence) == (1, "Nothing was done.")
    for unasked in ((), ("--json",)):
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        answer = scizor("ledger", "rebuild", "--account", "paper", *unasked)
        assert (answer.code, "Give --yes" in answer.out + answer.err) == (2, True)
    assert _rows(collected, "SELECT max(seq) FROM events") == before
    assert "There is no account 'nobody'" in scizor("ledger", "rebuild", "--account", "nobody", "--yes").sentence
    asked = ("ledger", "rebuild", "--account", "paper", "--yes")
    assert "2999-01-02 is ahead" in scizor(*asked, "--first", "2999-01-02").sentence
    assert "Give both --adopt-to" in scizor(*asked, "--adopt-to", "main").sentence
    assert "'many' is no amount" in scizor(*asked, "--adopt-to", "main", "--cash", "many").sentence
    assert "does not trade on account" in scizor(*asked, "--adopt-to", "other", "--cash", "1").sentence


def _with_a_second_account(project: Project) -> None:
    config = yaml.safe_load(project.settings.config_path.read_text())
    config["accounts"]["other"] = dict(config["accounts"]["paper"])
    config["portfolios"]["second"] = deepcopy(config["portfolios"]["main"]) | {"account": "other"}
    project.settings.config_path.write_text(yaml.safe_dump(config, sort_keys=False))


def _lose(project: Project) -> None:
    for file in project.home.glob("ledger.sqlite*"):
        file.unlink()


def test_bringing_one_account_back_lets_no_other_one_begin_anew_in_a_ledger_that_was_lost(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    copy = scizor("backup", tmp_path, "--only", "ledger", "--json").json["folder"]
    _with_a_second_account(collected)
    assert scizor("run", "--portfolio", "second", "--date", TRADED, "--once").code == 0
    halted = {"paper": "halted", "other": "halted"}
    for way_back in (("restore", copy), ("ledger", "rebuild", "--account", "paper", "--yes")):
        _lose(collected)
        answer = scizor(*way_back, "--by", "ann", "--json")
        assert (answer.code, sorted(answer.json["halted"])) == (0, ["other", "paper"]), answer
        assert dict(_rows(collected, "SELECT account, state FROM trading_states")) == halted
        assert scizor("run", "--portfolio", "second", "--date", NEXT, "--once").code == 1
        assert _rows(collected, "SELECT client_order_id FROM paper_orders WHERE account = 'other'") == []


def test_a_rebuild_of_one_account_leaves_the_others_of_a_ledger_in_use_as_they_are(
    scizor: Scizor, collected: Project
) -> None:
    _with_a_second_account(collected)
    answer = scizor("ledger", "rebuild", "--account", "paper", "--yes", "--by", "ann", "--json")
    assert (answer.code, answer.json["halted"]) == (0, ["paper"])
    assert _rows(collected, "SELECT account, state FROM trading_states") == [("paper", "halted")]


def test_a_home_without_a_ledger_gets_none_by_asking(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("ledger", "verify")
    assert answer.code == 2
    assert "There is no ledger here" in answer.sentence
    assert not _ledger(fresh).exists()
