"""How commands end that cannot go on: Ctrl-C, a home that cannot be used, a terminal that knows no umlaut."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assets.checks import FactCheck
from scizor_dagster.cli.app import main
from scizor_dagster.cli.instance import DATABASES, JobRunner, RunOutcome
from tests.cli.conftest import NEXT, TRADED, Scizor
from tests.projects import Project

INTERRUPTED = "Interrupted. Nothing is lost: run the same command again to continue."
RUN = ("run", "--date", str(NEXT), "--once")
DAILY = ("collect", "daily", "--date", "2025-02-03")


def _key(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def _signal(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGINT)
    return ()


@pytest.mark.parametrize("how", [_key, _signal])
@pytest.mark.parametrize(
    "where", ["scizor_dagster.market_data.sample.SampleMarket.daily_bars", "scizor_dagster.cli.dagster_home.check_home"]
)
def test_ctrl_c_ends_a_collection_with_one_sentence(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, where: str, how: Any
) -> None:
    monkeypatch.setattr(where, how)
    answer = scizor(*DAILY)
    assert answer.code == 130
    assert answer.sentence.endswith(INTERRUPTED)
    assert "Traceback" not in answer.err + answer.out


def test_ctrl_c_in_a_run_ends_it_and_the_same_command_goes_on(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("scizor_dagster.paper_exchange.lake_data.LakeSessionData.__init__", _key)
        answer = scizor(*RUN, "--json")
    assert answer.code == 130
    assert answer.json["error"] == "Interrupted"
    assert INTERRUPTED in answer.sentence
    again = scizor(*RUN, "--json")
    assert again.code == 0
    assert again.json["orders"] > 0


def test_ctrl_c_while_the_commands_are_imported_is_no_traceback() -> None:
    code = "import scizor_dagster.cli\ntry:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt as e:\n"
    for raised in ("    raise", "    raise ImportError('half loaded') from e"):
        ended = subprocess.run([sys.executable, "-c", code + raised], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr.strip()) == (130, INTERRUPTED)
    other = subprocess.run(
        [sys.executable, "-c", "import scizor_dagster.cli\n1 / 0"], capture_output=True, text=True, check=False
    )
    assert (other.returncode, "ZeroDivisionError" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (RUN, ""),
        (DAILY, ""),
        (("reconcile", "--date", str(TRADED)), ""),
        (RUN, "dagster"),
        (RUN, "dagster/history/runs.db"),
        (RUN, "lake"),
        (RUN, "ledger.sqlite"),
    ],
)
def test_a_home_that_may_not_be_written_is_named_with_what_to_do(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], part: str
) -> None:
    closed, allowed = collected.home / part, os.access

    def access(path: Any, mode: int) -> bool:
        return allowed(path, mode) and not (Path(path) == closed and mode & os.W_OK)

    monkeypatch.setattr(os, "access", access)
    answer = scizor(*command)
    assert answer.code == 2
    kind = "folder" if closed.is_dir() else "file"
    assert f"{closed}: The {kind} cannot be written. Set SCIZOR_HOME" in answer.sentence
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", DATABASES)
def test_a_damaged_record_of_runs_is_named_and_can_be_moved_away(scizor: Scizor, collected: Project, name: str) -> None:
    path = collected.home / "dagster" / name
    for journal in path.parent.glob(f"{path.name}-*"):
        journal.unlink()
    path.write_bytes(b"not a database, whatever the name says" * 100)
    command = ("reconcile", "--date", str(TRADED))
    answer = scizor(*command)
    assert answer.code == 1
    assert f"{path}: Dagster's record of runs cannot be read (file is not a database)." in answer.sentence
    assert "Move it away and run the command again" in answer.sentence
    assert "Traceback" not in answer.err
    path.rename(path.with_suffix(".damaged"))
    assert scizor(*command).code == 0


def test_a_database_that_is_damaged_inside_is_no_traceback(scizor: Scizor, collected: Project) -> None:
    path = collected.home / "dagster" / "history" / "runs.db"
    for journal in path.parent.glob(f"{path.name}-*"):
        journal.unlink()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    answer = scizor("reconcile", "--date", TRADED)
    assert answer.code == 1
    assert "Dagster's record of runs cannot be read" in answer.sentence
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_that_lacks_a_character_shows_another_and_goes_on(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    home = fresh.folder / "Zürich-東京"
    monkeypatch.setenv("SCIZOR_HOME", str(home))
    spoken = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    failed = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", spoken)
    monkeypatch.setattr(sys, "stderr", failed)
    for words, code in ((["doctor"], 0), (["run", "--portfolio", "東京"], 2), (["run", "--help"], 0)):
        monkeypatch.setattr(sys, "argv", ["scizor", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    spoken.flush()
    failed.flush()
    text = spoken.buffer.getvalue().decode(encoding, "replace")  # type: ignore[attr-defined]
    assert "PROBLEM" not in text
    assert "There is no portfolio" in failed.buffer.getvalue().decode(encoding, "replace")  # type: ignore[attr-defined]


def test_a_home_whose_name_the_locale_cannot_read_is_refused_before_anything_is_written(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIZOR_HOME", str(fresh.folder / "Z\udcfcrich"))
    answer = scizor(*DAILY)
    assert answer.code == 2
    assert "Set LC_ALL=C.UTF-8 or PYTHONUTF8=1" in answer.sentence
    assert not list(fresh.folder.glob("Z*"))


def test_the_causes_of_two_steps_are_two_sentences(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ValueError("broken [bold] through")

    monkeypatch.setattr("scizor_dagster.lake.connection.Lake.write", fail)
    answer = scizor(*DAILY, "--json")
    assert answer.code == 1
    assert "broken [bold] through. " in answer.json["problem"]
    assert ".." not in answer.json["problem"]


def test_a_table_of_the_ui_is_not_printed_as_text(scizor: Scizor, collected: Project) -> None:
    for words in ((), ("--json",)):
        answer = scizor("collect", "daily", "--date", "2025-02-14", *words)
        assert answer.code == 0
        assert "|---" not in answer.out


def test_a_check_that_stops_nothing_is_a_warning_and_the_exit_code_is_zero(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ("us/prices:every_action_has_a_factor",)

    def run(*_: Any, **__: Any) -> RunOutcome:
        return RunOutcome("0" * 32, True, {}, named, named, {named[0]: "AAPL 2025-02-07: no bar before it; " * 40})

    monkeypatch.setattr(JobRunner, "run", run)
    for command in (DAILY, ("reconcile", "--date", str(TRADED))):
        answer = scizor(*command)
        assert answer.code == 0
        assert f"warning: {named[0]}: AAPL 2025-02-07: no bar before it;" in answer.out
        assert "(the rest is in the run)" in answer.out
        assert "check did not pass" not in answer.out
        assert scizor(*command, "--json").json["warnings"] == list(named)


def test_the_severity_of_a_check_is_that_of_the_run(collected: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = FactCheck.result
    monkeypatch.setattr(FactCheck, "result", lambda check, passed, **facts: judged(check, check.blocking, **facts))
    with JobRunner.open(collected.settings) as runner:
        outcome = runner.run("collect_daily", partition="2025-02-14")
    assert outcome.success
    assert outcome.warnings == outcome.failed_checks
    assert "us/prices:every_action_has_a_factor" in outcome.warnings
    assert set(outcome.found) <= set(outcome.failed_checks)
