"""Tab: what the shells get for portfolios, strategies, symbols, sessions and ids; it never ends in an error."""

import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.main import get_command

from scizor_dagster.cli import completing
from scizor_dagster.cli.app import COMPLETE, app
from scizor_dagster.cli.teaching import walk
from scizor_dagster.flow.desk import Desk
from scizor_dagster.settings import PROJECT_ROOT, Settings
from scizor_dagster.strategies.names import SHIPPED
from scizor_dagster.strategies.registry import Registry
from tests.cli.conftest import TRADED, Scizor
from tests.cli.stored import store_empty_backtest
from tests.projects import STRATEGY, SYMBOLS, Project

Asked = Any
BROKEN = ("portfolios: [", "just words", "portfolios: 3\nmarkets: {us: {universes: [gone.csv]}}")


@pytest.fixture
def tab(scizor: Scizor, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What bash offers at the end of a line."""

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv(COMPLETE, "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        answer = scizor()
        monkeypatch.delenv(COMPLETE)
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    return ask


def test_commands_options_and_fixed_words_are_offered(tab: Asked, fresh: Project) -> None:
    assert tab("scizor lim") == ["limits"]
    assert tab("scizor ledger re") == ["rebuild"]
    assert "--cancel-open" in tab("scizor halt --")
    assert tab("scizor data show AAPL --prices ") == ["raw", "split", "total_return"]
    assert not fresh.home.exists()


def test_names_of_the_configuration_are_offered_without_a_home(tab: Asked, fresh: Project) -> None:
    assert tab("scizor limits --portfolio ") == ["main"]
    assert tab("scizor collect daily --market ") == ["us"]
    assert tab("scizor halt --account p") == ["paper"]
    assert tab("scizor signals check --strategy ") == [STRATEGY, *SHIPPED]
    assert tab("scizor strategy pause we") == [STRATEGY]
    assert tab("scizor strategy show mom") == ["momentum"]
    assert tab("scizor symbols remove ") == list(SYMBOLS)
    assert tab("scizor explain M") == ["META", "MSFT"]
    assert tab("scizor collect history AAPL NV") == ["NVDA"]
    assert tab("scizor approve ") == ["main"]
    assert not fresh.home.exists()


def test_sessions_and_orders_are_those_of_the_ledger(tab: Asked, collected: Project) -> None:
    assert tab("scizor report --date ") == [TRADED.isoformat()]
    assert tab("scizor performance --from 2025") == [TRADED.isoformat()]
    orders = tab("scizor explain TST_")
    assert orders
    assert set(tab("scizor end-order ")) <= set(orders)
    assert len(tab("scizor approve ")) == 2


def test_locks_and_breaks_that_are_open_are_offered(fresh: Project, collected: Project) -> None:
    with sqlite3.connect(collected.settings.ledger_file) as ledger:
        columns = "lock_id, account, portfolio, kind, reason, from_session, until_session, created_at"
        row = "'{}', 'paper', 'main', 'loss', 'x', '2025-02-03', '2025-02-07', '2025-02-03 00:00:00'"
        ledger.execute(f"INSERT INTO risk_locks ({columns}) VALUES ({row.format('1f0c22ab')})")
        columns += ", lifted_at"
        ledger.execute(f"INSERT INTO risk_locks ({columns}) VALUES ({row.format('2f0c22ab')}, '2025-02-04 00:00:00')")
        columns = "break_id, account, session, found_in, stage, kind, break_class, locks, cause, opened_at"
        row = "'3f0c', 'paper', '2025-02-03', 'first', 'x', 'x', 'x', 'x', 'x', '2025-02-03 00:00:00'"
        ledger.execute(f"INSERT INTO breaks ({columns}) VALUES ({row})")
    assert [item.value for item in completing.offers(completing.locks, "")] == ["1f0c22ab"]
    assert [item.value for item in completing.offers(completing.breaks, "3")] == ["3f0c"]


def test_backtests_are_offered_by_id_and_name_from_the_catalog_and_from_files(
    tab: Asked, fresh: Project, tmp_path: Path
) -> None:
    lake = fresh.settings.lake_folder
    (lake / "data" / "main" / "backtests").mkdir(parents=True)
    with sqlite3.connect(lake / "catalog.sqlite") as catalog:
        catalog.executescript(
            """CREATE TABLE ducklake_table (table_id, table_name, end_snapshot);
            CREATE TABLE ducklake_inlined_data_tables (table_id, table_name);
            CREATE TABLE ducklake_data_file (table_id, path, end_snapshot);
            CREATE TABLE rows_5 (backtest_id, name, begin_snapshot, end_snapshot);
            INSERT INTO ducklake_table VALUES (5, 'backtests', NULL), (6, 'bars', NULL);
            INSERT INTO ducklake_inlined_data_tables VALUES (5, 'rows_5');
            INSERT INTO rows_5 VALUES ('aaaaaaaaaaaaaaaaaaaa', 'old', 3, NULL), ('bbbbbbbbbbbbbbbbbbbb', '', 4, NULL),
                ('cccccccccccccccccccc', 'deleted', 5, 6);"""
        )
    assert tab("scizor backtest show ") == ["bbbbbbbbbbbb", "aaaaaaaaaaaa", "old"]
    file = lake / "data" / "main" / "backtests" / "rows.parquet"
    duckdb.connect().execute(
        f"COPY (SELECT 'dddddddddddddd' AS backtest_id, 'kept' AS name, 1 AS fetched_at) TO '{file}'"
    )
    with sqlite3.connect(lake / "catalog.sqlite") as catalog:
        catalog.execute("INSERT INTO ducklake_data_file VALUES (5, 'rows.parquet', NULL), (6, 'bars.parquet', NULL)")
    assert tab("scizor backtest delete d") == ["dddddddddddd"]
    assert tab("scizor backtest delete k") == ["kept"]


def test_backtests_are_found_in_a_lake_of_its_own_kind_before_and_after_its_clean_up(
    tab: Asked, collected: Project
) -> None:
    lake = Desk(collected.settings, lambda: datetime.now(UTC)).lake
    store_empty_backtest(lake, "e" * 64, "mine")
    assert tab("scizor backtest show ") == ["e" * 12, "mine"]
    with lake.maintenance() as cursor:
        cursor.execute("CALL ducklake_flush_inlined_data('lake', table_name => 'backtests')")
    assert tab("scizor backtest show ") == ["e" * 12, "mine"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_configuration_that_cannot_be_read_offers_nothing_and_says_nothing(
    tab: Asked, fresh: Project, text: str
) -> None:
    fresh.settings.config_path.write_text(text)
    fresh.home.mkdir()
    fresh.settings.ledger_file.write_text("no database")
    lines = ("limits --portfolio ", "report --date ", "symbols remove ", "backtest show ", "signals check --strategy x")
    for line in lines:
        assert tab(f"scizor {line}") == []
    assert [path.name for path in fresh.home.iterdir()] == ["ledger.sqlite"]


def test_an_empty_place_and_a_ledger_on_a_server_are_no_errors(
    tab: Asked, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    assert tab("scizor report --date ") == []
    monkeypatch.setenv("SCIZOR_HOME", "")
    assert tab("scizor limits --portfolio ") == []


def test_ids_of_accounts_are_those_that_the_configuration_pins(fresh: Project) -> None:
    text = fresh.settings.config_path.read_text().replace("paper:", "paper:\n    account_id: ${MY_ACCOUNT}", 1)
    fresh.settings.config_path.write_text(text)
    settings = Settings.from_environment({**fresh.environment, "MY_ACCOUNT": "DU123"})
    assert list(completing.account_ids(settings)) == ["DU123"]


def test_every_parameter_of_a_known_name_is_completed_and_every_name_is_some_parameters() -> None:
    found = {item.name for _, command in walk(get_command(app)) for item in command.params}
    assert set(completing.SOURCES) <= found


def test_the_strategies_that_come_along_are_those_of_the_registry() -> None:
    assert [item.name for item in Registry().listed() if item.origin == "shipped"] == list(SHIPPED)


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A folder with `scizor` on the path, which runs this source tree."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "scizor"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={PROJECT_ROOT} exec {sys.executable} -m scizor_dagster "$@"\n')
    script.chmod(0o755)
    return folder


def test_bash_installs_completion_offline_and_completes_with_it(fresh: Project, shim: Path, tmp_path: Path) -> None:
    home = tmp_path / "person"
    home.mkdir()
    environment = {**os.environ, **fresh.environment, "HOME": str(home), "PATH": f"{shim}:{os.environ['PATH']}"}
    bash = [str(shutil.which("bash")), "--norc", "-c"]
    done = subprocess.run([*bash, "scizor --install-completion; true"], env=environment, capture_output=True, text=True)
    assert "bash completion installed" in done.stdout
    script = home / ".bash_completions" / "scizor.sh"
    assert f"source '{script}'" in (home / ".bashrc").read_text()
    ask = f"source {script}; COMP_WORDS=(scizor limits --portfolio m); COMP_CWORD=3; _scizor_completion scizor; "
    said = subprocess.run([*bash, ask + "echo ${COMPREPLY[*]}"], env=environment, capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("main\n", "")


@pytest.mark.parametrize(
    ("shell", "variables", "said"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "scizor limits --portfolio "}, "_arguments '*: :((\"main\"))'"),
        ("fish", {"_TYPER_COMPLETE_ARGS": "scizor limits --portfolio ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
         "main"),
    ],
)  # fmt: skip
def test_zsh_and_fish_are_answered_in_their_own_words(
    scizor: Scizor, fresh: Project, monkeypatch: pytest.MonkeyPatch, shell: str, variables: dict[str, str], said: str
) -> None:
    monkeypatch.setenv(COMPLETE, f"complete_{shell}")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = scizor()
    assert (answer.code, answer.out.strip(), answer.err) == (0, said, "")
