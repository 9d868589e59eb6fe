"""The commands with `DATABASE_URL`: they trade, stop and look where it says, and show its password nowhere."""

from collections.abc import Iterator

import pytest

from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, standing
from tests.cli.conftest import Scizor
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
