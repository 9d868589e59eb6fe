"""The commands with `DATABASE_URL`: they trade, stop and look where it says, and show its password nowhere."""

from collections.abc import Iterator

import pytest

from scizor_dagster.cli.instance import JobRunner
from scizor_dagster.ledger.known import known_portfolios
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, standing
from scizor_dagster.settings import Settings
from tests.cli.conftest import LAST_COLLECTED, TRADED, Scizor
from tests.execution.scenario import START
from tests.postgres import Server
from tests.projects import Project

PASSWORD = "hush-hush"
WHY = ("--reason", "it runs away", "--by", "ann")


@pytest.fixture
def server_url(postgres: Server, monkeypatch: pytest.MonkeyPatch, fresh: Project) -> Iterator[str]:
    """URL of a database without a ledger, password and all, which the environment of a fresh project names."""
    name = postgres.new_database()
    url = postgres.url(name).replace("scizor@", f"scizor:{PASSWORD}@")
    monkeypatch.setenv("DATABASE_URL", url)
    yield url
    postgres.drop(name)


def _trade(project: Project, url: str) -> None:
    settings = Settings.from_environment({**project.environment, "DATABASE_URL": url})
    config = {"ops": {"us__historical_chunks": {"config": {"through": LAST_COLLECTED.isoformat()}}}}
    with JobRunner.open(settings) as runner:
        runner.run("collect_history", partition_range=("2025", "2025"), config=config)
        runner.run("rebalance", partition=TRADED.isoformat())


def _files_with(project: Project, text: str) -> list[str]:
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if text.encode() in path.read_bytes()]


def test_a_session_runs_on_the_server_and_the_password_stands_in_no_file_and_no_answer(
    scizor: Scizor, fresh: Project, server_url: str
) -> None:
    _trade(fresh, server_url)
    assert not (fresh.home / "ledger.sqlite").exists()
    again = scizor("run", "--date", TRADED, "--json")
    assert (again.code, again.json["state"]) == (0, "reconciled")
    ledger = Ledger.open(server_url)
    with ledger.read() as connection:
        assert known_portfolios(connection) == {"paper": {"main"}}
    place = ledger.place
    ledger.close()
    doctor = scizor("doctor", "--json")
    details = {check["check"]: check["detail"] for check in doctor.json["checks"]}
    assert place in details["environment"]
    assert f"ledger whole in {place}" in details["stores"]
    assert PASSWORD not in again.out + again.err + doctor.out + doctor.err
    assert _files_with(fresh, PASSWORD) == []
    assert _files_with(fresh, TRADED.isoformat())


def test_a_stop_goes_to_the_ledger_that_trades_also_while_the_configuration_is_broken(
    scizor: Scizor, fresh: Project, server_url: str
) -> None:
    assert scizor("halt", "--account", "paper", *WHY).code == 0
    assert scizor("resume", "--account", "paper", *WHY).code == 0
    fresh.settings.config_path.write_text("risk: [1,")
    assert scizor("halt", *WHY).code == 0
    ledger = Ledger.open(server_url)
    with ledger.read() as connection:
        assert standing(connection, "paper", "main", START).state is TradingState.HALTED
    ledger.close()
    assert not (fresh.home / "ledger.sqlite").exists()


@pytest.mark.parametrize("config", ["", "risk: [1,"])
@pytest.mark.parametrize("url", ["mysql://me:hush-hush@h/db", "postgresql://me:hush-hush@127.0.0.1:1/db"])
def test_a_stop_that_cannot_reach_the_ledger_says_so_and_stops_nothing_elsewhere(
    scizor: Scizor, collected: Project, monkeypatch: pytest.MonkeyPatch, url: str, config: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    if config:
        collected.settings.config_path.write_text(config)
    answer = scizor("halt", "--account", "paper", *WHY)
    assert answer.code != 0
    assert "DATABASE_URL" in answer.sentence or "Connection refused" in answer.sentence
    assert PASSWORD not in answer.out + answer.err
    embedded = Ledger.open(collected.settings.ledger_url)
    with embedded.read() as connection:
        assert standing(connection, "paper", "main", START).state is TradingState.ACTIVE
    embedded.close()
