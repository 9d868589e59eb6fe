"""Code over HTTP: off, then kept as text, then run behind walls once an operator has said so, its weights taken in."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scizor_dagster.api.app import create_app
from scizor_dagster.api.backtester import code as code_routes
from scizor_dagster.cli.app import app
from scizor_dagster.errors import ConfigError, DataError, InputError, LedgerError
from scizor_dagster.flow import strategy_code
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import Sender
from scizor_dagster.flow.strategy_code import run_code, submit_code
from scizor_dagster.strategies.sandbox import NotIsolated
from tests.api.client import Client
from tests.api.conftest import NEXT, NOW, key_for
from tests.projects import Project

SOURCE = (
    "import sys\nsys.modules['scizor_guest'] = sys\n"
    "def weights(prices):\n    return {'AAPL': 0.3, prices.symbols[-1]: 0.2}\n"
)
HASH = hashlib.sha256(SOURCE.encode()).hexdigest()
CODE = {"name": "guest", "source": SOURCE, "reason": "to be looked at"}
RUN = {"strategy": "weekly", "sessions": [NEXT.isoformat()]}
ADA = Sender("ada")


def allow(project: Project) -> Project:
    config = project.settings.config_path
    config.write_text(config.read_text(encoding="utf-8") + "api: {strategy_code: approve}\n", encoding="utf-8")
    return project


@pytest.fixture
def taking(project: Project) -> Iterator[Client]:
    """An application that takes code, on the filled home."""
    allow(project)
    client = Client(create_app(project.settings, clock=lambda: NOW), key_for(project))
    yield client
    client.app.state.context.close()
    client.close()


def command(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["strategy", *words, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_without_the_setting_no_code_is_taken(empty_api: Client) -> None:
    answer = empty_api.post("/api/strategy-code", json=CODE)
    assert (answer.status, "api.strategy_code: approve" in answer.json["remedy"]) == (403, True)
    assert empty_api.get("/api/strategy-code").json["items"] == []
    assert empty_api.get(f"/api/strategy-code/{HASH}").status == 404
    assert empty_api.post(f"/api/strategy-code/{HASH}/runs", json=RUN).status == 403


def test_code_goes_from_text_over_an_operator_to_weights_in_their_place(taking: Client, project: Project) -> None:
    before = (project.folder / "weights.csv").read_bytes()
    made = taking.post("/api/strategy-code", json=CODE)
    assert (made.status, made.json["sha256"], made.json["approved"]) == (201, HASH, False)
    assert taking.post("/api/strategy-code", json=CODE | {"name": "other"}).json["name"] == "guest"
    asked = taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN)
    assert (asked.status, "approve-code" in asked.json["remedy"]) == (409, True)
    assert (project.folder / "weights.csv").read_bytes() == before

    assert command("list-code")["code"][0]["code_hash"] == HASH  # type: ignore[index]
    assert command("show-code", HASH[:12])["source"] == SOURCE
    assert command("approve-code", HASH[:12], "--reason", "it was read", "--by", "olga")["verdict"]["approved"]  # type: ignore[index]
    shown = taking.get(f"/api/strategy-code/{HASH[:12]}").json
    assert (shown["approved"], shown["verdicts"][0]["by"], shown["source"]) == (True, "olga", SOURCE)
    assert [item["approved"] for item in taking.get("/api/strategy-code").json["items"]] == [True]

    taken = taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN)
    if taken.status == 409 and "kept apart" in taken.text:
        pytest.skip("no walls on this machine, so that no code is run")
    assert taken.status == 201, taken.text
    assert (taken.json["status"], taken.json["sessions"]) == ("accepted", [NEXT.isoformat()])
    lines = (project.folder / "weights.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["trade_date,asset_id,target_weight", f"{NEXT},AAPL,0.3", f"{NEXT},NVDA,0.2"]
    [row] = taking.get("/api/strategies/weekly/signals").json["items"]
    assert (row["code"], row["handed_in_by"]) == (HASH, "ada")
    assert "scizor_guest" not in sys.modules

    command("withdraw-code", HASH, "--reason", "enough", "--by", "olga")
    assert taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN).status == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "../guest"}, "body.name"),
        ({"source": ""}, "body.source"),
        ({"source": "x" * 300_000}, "body.source"),
        ({"source": "  \n"}, "empty"),
        ({"approved": True}, "body.approved"),
        ({"reason": ""}, "body.reason"),
    ],
)
def test_code_that_cannot_be_meant_is_not_kept(taking: Client, changes: dict[str, object], field: str) -> None:
    answer = taking.post("/api/strategy-code", json=CODE | changes)
    assert (answer.status, field in answer.text) == (422, True), answer.text
    assert taking.get("/api/strategy-code").json["items"] == []


def test_one_code_runs_at_a_time_and_whoever_comes_meanwhile_is_told_to_come_again(taking: Client) -> None:
    taking.post("/api/strategy-code", json=CODE)
    with code_routes._RUNNING.one():
        full = taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN)
    assert (full.status, full.headers["retry-after"]) == (503, "1")
    assert taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN).status == 409


def test_code_runs_for_strategies_of_the_keys_accounts_alone(taking: Client, project: Project) -> None:
    taking.post("/api/strategy-code", json=CODE)
    other = taking.holding(key_for(project, accounts={"another"}))
    assert other.post(f"/api/strategy-code/{HASH}/runs", json=RUN).status == 404
    assert taking.post(f"/api/strategy-code/{'f' * 64}/runs", json=RUN).status == 404
    assert taking.post(f"/api/strategy-code/{HASH}/runs", json=RUN | {"strategy": "nothing"}).status == 404


@pytest.fixture
def desk(project: Project, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk with an approved code, whose run answers what the code would."""
    found = Desk(allow(project).settings, lambda: NOW)
    submit_code(found, "guest", SOURCE, actor="ada", reason="a try")
    strategy_code.approve_code(found, HASH, approved=True, actor="olga", reason="it was read")
    monkeypatch.setattr(strategy_code, "weights_in_sandbox", lambda history, rows, *_: [{"AAPL": 0.25}] * len(rows))
    return found


def test_what_a_code_is_shown_ends_with_the_close_before_the_session(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    def keep(history: object, rows: list[int], *_: object) -> list[dict[str, float]]:
        shown.append((history.sessions[-1], [history.sessions[row] for row in rows]))  # type: ignore[attr-defined]
        return [{"AAPL": 0.25}] * len(rows)

    monkeypatch.setattr(strategy_code, "weights_in_sandbox", keep)
    run_code(desk, HASH, "weekly", [date(2025, 2, 6), NEXT], ADA)
    assert shown == [(date(2025, 2, 7), [date(2025, 2, 5), date(2025, 2, 7)])]


def test_a_decision_to_hold_nothing_sells_what_there_is_and_is_held_for_a_person(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategy_code, "weights_in_sandbox", lambda *_: [{}])
    taken = run_code(desk, HASH, "weekly", [NEXT], ADA)
    assert (taken.report.status, taken.report.rows) == ("held", 6)


def test_a_run_that_cannot_be_meant_takes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (desk.config.folder / "weights.csv").read_bytes()
    with pytest.raises(InputError, match="not a session"):
        run_code(desk, HASH, "weekly", [date(2025, 2, 9)], ADA)
    with pytest.raises(InputError, match="0 sessions"):
        run_code(desk, HASH, "weekly", [], ADA)
    with pytest.raises(InputError, match="not among the prices"):
        run_code(desk, HASH, "weekly", [date(2025, 1, 2), NEXT], ADA)
    with pytest.raises(DataError, match="are collected"):
        run_code(desk, HASH, "weekly", [date(2025, 3, 3)], ADA)
    monkeypatch.setattr(strategy_code, "weights_in_sandbox", lambda *_: [None])
    with pytest.raises(DataError, match="decides nothing for 2025-02-10"):
        run_code(desk, HASH, "weekly", [NEXT], ADA)
    with pytest.raises(InputError, match="no strategy code"):
        run_code(desk, "0" * 64, "weekly", [NEXT], ADA)
    assert (desk.config.folder / "weights.csv").read_bytes() == before


def test_a_strategy_whose_files_are_no_plain_tables_takes_no_code(desk: Desk) -> None:
    manifest = desk.config.folder / desk.config.strategy_manifest
    manifest.write_text("strategies: [{id: weekly, path: w.csv, format: csv, percent: true}]", encoding="utf-8")
    with pytest.raises(ConfigError, match="does not take a plain CSV"):
        run_code(Desk(desk.settings, lambda: NOW), HASH, "weekly", [NEXT], ADA)


def test_without_approval_or_setting_nothing_is_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise NotIsolated("it was run", remedy="")

    monkeypatch.setattr(strategy_code, "weights_in_sandbox", never)
    strategy_code.approve_code(desk, HASH, approved=False, actor="olga", reason="enough")
    with pytest.raises(LedgerError, match="Nobody has approved"):
        run_code(desk, HASH, "weekly", [NEXT], ADA)
    config = Path(desk.config.source)
    config.write_text(config.read_text(encoding="utf-8").replace("approve", "off"), encoding="utf-8")
    closed = Desk(desk.settings, lambda: NOW)
    for call in (
        lambda: run_code(closed, HASH, "weekly", [NEXT], ADA),
        lambda: submit_code(closed, "guest", SOURCE, actor="ada", reason="a try"),
    ):
        with pytest.raises(ConfigError, match="not taken here"):
            call()


def test_a_terminal_obeys_nothing_of_a_code_that_is_shown(desk: Desk) -> None:
    row = submit_code(desk, "loud", "# \x1b]0;owned\x07\n", actor="ada", reason="a try")
    done = CliRunner().invoke(app, ["strategy", "show-code", row.code_hash])
    assert (done.exit_code, "\x1b" in done.stdout, "\\x1b]0;owned\\x07" in done.stdout) == (0, False, True)
    told = CliRunner().invoke(app, ["strategy", "list-code"])
    assert (told.exit_code, "loud" in told.stdout) == (0, True)
    for word in ("approve-code", "withdraw-code"):
        done = CliRunner().invoke(app, ["strategy", word, row.code_hash, "--reason", "looked at", "--by", "olga"])
        assert done.exit_code == 0
    run = CliRunner().invoke(
        app, ["strategy", "run-code", HASH, "--strategy", "weekly", "--date", NEXT.isoformat(), "--by", "olga"]
    )
    assert (run.exit_code, "accepted, 1 rows" in run.stdout) == (0, True), run.output
