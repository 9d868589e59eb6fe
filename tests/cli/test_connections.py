"""`scizor doctor` asks each broker, says what is missing, and shows no secret anywhere."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from scizor_dagster.brokers.alpaca import transport
from scizor_dagster.cli import dates
from tests.acceptance.wires import ENVIRONMENT, KEY, OTHER_KEY, OTHER_SECRET, SECRET, WIRES, Wires, open_wires
from tests.cli.conftest import Answer, Scizor
from tests.projects import Project


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wires]:
    with open_wires(tmp_path_factory.mktemp("exchange")) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(wires: Wires, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(transport, "_BACKOFF", (0.0,))
    monkeypatch.setattr(dates, "now", wires.hall.venue.now)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def wire_up(project: Project, account: dict[str, Any], **provider: Any) -> None:
    path = project.folder / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["accounts"]["broker"] = account
    if provider:
        config["markets"]["us"]["provider"] = provider
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def connections(answer: Answer) -> tuple[bool, str]:
    return next((row["ok"], row["detail"]) for row in answer.json["checks"] if row["check"] == "connections")


def test_without_an_account_at_a_broker_there_is_nothing_to_connect_to(scizor: Scizor, fresh: Project) -> None:
    ok, detail = connections(scizor("doctor", "--json"))
    assert ok
    assert detail.startswith("none: every account is on the embedded exchange")


@pytest.mark.parametrize("wire", WIRES)
def test_a_sound_connection_is_told_with_account_money_clock_and_prices(
    scizor: Scizor, fresh: Project, wires: Wires, wire: str
) -> None:
    account = dict(wires.keys[wire])
    wire_up(fresh, account)
    answer = scizor("doctor", "--json")
    ok, detail = connections(answer)
    assert ok, detail
    assert answer.code == 0
    assert f"broker: {wire} paper account {account['account_id']}, 100,000.00 USD of equity" in detail
    assert "clock within 5 s" in detail
    assert "prices readable (AAPL" in detail
    assert not fresh.home.exists()


def test_a_provider_over_the_network_is_asked_as_well(scizor: Scizor, fresh: Project, wires: Wires) -> None:
    wire_up(fresh, dict(wires.keys["alpaca"]), type="alpaca", url=wires.keys["alpaca"]["url"])
    ok, detail = connections(scizor("doctor", "--json"))
    assert ok, detail
    assert detail.count("prices readable (AAPL") == 2


@pytest.mark.parametrize(
    ("wire", "changes", "environment", "words"),
    [
        ("alpaca", {}, {"APCA_API_SECRET_KEY": ""}, "The environment variable APCA_API_SECRET_KEY is unset or empty"),
        ("alpaca", {}, {"APCA_API_SECRET_KEY": OTHER_SECRET}, "Alpaca cannot be read (account): HTTP 40"),
        ("alpaca", {"account_id": "PA0000000000"}, {}, "the configuration expects alpaca paper account PA0000000000"),
        ("alpaca", {"url": "http://127.0.0.1:9"}, {}, "Alpaca cannot be read (account)"),
        ("ibkr", {"account_id": "DU9999999"}, {}, "TWS is logged in to DU1000001"),
        ("ibkr", {"port": 9}, {}, "See that TWS or the Gateway runs and is logged in"),
    ],
)
def test_a_broken_connection_is_a_problem_with_its_remedy(
    scizor: Scizor,
    fresh: Project,
    wires: Wires,
    monkeypatch: pytest.MonkeyPatch,
    wire: str,
    changes: dict[str, Any],
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wire_up(fresh, {**wires.keys[wire], **changes})
    answer = scizor("doctor", "--json")
    ok, detail = connections(answer)
    assert (ok, answer.code) == (False, 1)
    assert words in detail


def test_a_clock_that_is_off_by_a_minute_is_a_problem_and_one_that_is_off_by_days_is_a_rehearsal(
    scizor: Scizor, fresh: Project, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire_up(fresh, dict(wires.keys["ibkr"]))
    now = wires.hall.venue.now()
    monkeypatch.setattr(dates, "now", lambda: now + timedelta(minutes=1))
    ok, detail = connections(scizor("doctor", "--json"))
    assert (ok, "60 s apart" in detail) == (False, True)
    monkeypatch.setattr(dates, "now", lambda: now + timedelta(days=2))
    ok, detail = connections(scizor("doctor", "--json"))
    assert (ok, "a rehearsal at 2025-03-03" in detail) == (True, True)


@pytest.mark.parametrize("environment", [{}, {"APCA_API_KEY_ID": OTHER_KEY}, {"APCA_API_SECRET_KEY": OTHER_SECRET}])
def test_no_secret_shows_in_output_logs_or_files(
    scizor: Scizor,
    fresh: Project,
    wires: Wires,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environment: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wire_up(fresh, dict(wires.keys["alpaca"]), type="alpaca", url=wires.keys["alpaca"]["url"])
    said = [scizor("doctor"), scizor("collect", "daily", "--market", "us", "--date", "2025-02-28")]
    texts = [answer.out + answer.err for answer in said] + [caplog.text]
    assert said[1].code == (1 if environment else 0), said[1].err
    for secret in (SECRET, OTHER_SECRET, KEY, OTHER_KEY):
        assert not any(secret in text for text in texts)
        assert [path for path in files_of(fresh.folder) if secret.encode() in path.read_bytes()] == []


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
