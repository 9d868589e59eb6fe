"""`scizor paper serve` as a process, traded on by scripts that know nothing of Scizor; and what it refuses."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from scizor_dagster.settings import PROJECT_ROOT
from tests.cli.conftest import Scizor
from tests.cli.shapes import differences
from tests.projects import Project

REPLAY = "2025-02-03..2025-02-07"
KEYS = {"APCA_API_KEY_ID": "PKSTRANGER", "APCA_API_SECRET_KEY": "secret"}
HEADERS = {"APCA-API-KEY-ID": "PKSTRANGER", "APCA-API-SECRET-KEY": "secret"}


@dataclass
class Served:
    """A running exchange: what it said, and its Alpaca door."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    def get(self, path: str) -> Any:
        reply = requests.get(self.said["alpaca_url"] + path, headers=HEADERS, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def stop(self) -> str:
        """Stop it as an operator does; what it said on stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return errors


@contextmanager
def serving(project: Project, *options: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "scizor_dagster", "paper", "serve", "--replay", REPLAY, "--json", *options]
    process = subprocess.Popen(
        command, env=os.environ | project.environment | KEYS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        else:
            raise AssertionError(process.communicate()[1])
        told = json.loads("".join(lines))
        assert differences(("paper", "serve"), told) == []
        yield Served(process, told)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT_ROOT / "examples" / name), *arguments]
    return subprocess.run(command, env=os.environ | KEYS, capture_output=True, text=True, timeout=200, check=False)


def test_strangers_trade_on_it_and_their_books_outlive_it(collected: Project) -> None:
    with serving(collected, "--alpaca-port", "0", "--tws-port", "0") as served:
        at_alpaca = script("alpaca_stranger.py", "--url", served.said["alpaca_url"], "--symbol", "AAPL")
        assert "the account is flat" in at_alpaca.stdout, at_alpaca.stderr
        if find_spec("ib_insync") is not None:
            at_tws = script("ib_stranger.py", "127.0.0.1", str(served.said["tws_port"]), "AAPL")
            assert at_tws.stdout.splitlines()[-2:] == [
                "flat []",
                "fills [('BOT', 10.0), ('BOT', 10.0), ('SLD', 20.0)]",
            ], at_tws.stderr
        low = {"symbol": "AAPL", "qty": "2", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
        requests.post(
            served.said["alpaca_url"] + "/v2/orders", json=low, headers=HEADERS, timeout=30
        ).raise_for_status()
        before = [served.get(path) for path in ("/v2/orders?status=all&limit=500", "/v2/positions")]
        account, clock = served.get("/v2/account"), served.get("/v2/clock")
        assert served.stop() == ""
    with serving(collected, "--alpaca-port", "0") as again:
        assert [again.get(path) for path in ("/v2/orders?status=all&limit=500", "/v2/positions")] == before
        assert {name: again.get("/v2/account")[name] for name in ("id", "cash")} == {
            name: account[name] for name in ("id", "cash")
        }
        assert again.get("/v2/clock")["timestamp"] >= clock["timestamp"]
        assert "tws_port" not in again.said


def test_the_status_names_every_account_with_its_clock_and_its_orders(collected: Project, scizor: Scizor) -> None:
    assert scizor("paper", "status", "--json").json == {"accounts": []}
    with serving(collected, "--alpaca-port", "0", "--cash", "5000", "--name", "mine") as served:
        low = {"symbol": "AAPL", "qty": "2", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"}
        requests.post(
            served.said["alpaca_url"] + "/v2/orders", json=low, headers=HEADERS, timeout=30
        ).raise_for_status()
        served.stop()
    (row,) = scizor("paper", "status", "--json").json["accounts"]
    assert (row["name"], row["house"], row["open_orders"], row["positions"]) == ("mine", "alpaca", 1, 0)
    assert row["cash"] == "5000"
    assert row["at"].startswith("2025-02-03T14:3")
    assert "mine" in scizor("paper", "status").out


def test_a_fault_script_is_met_by_who_trades(collected: Project, tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("rules: [{door: alpaca, call: get_clock, nth: 1, kind: server_error}]\n")
    with serving(collected, "--alpaca-port", "0", "--faults", str(faults)) as served:
        first, second = (
            requests.get(served.said["alpaca_url"] + "/v2/clock", headers=HEADERS, timeout=30).status_code
            for _ in range(2)
        )
    assert (first, second) == (503, 200)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--market", "mars"), "There is no market 'mars'"),
        (("--replay", "2024-03-01..2024-03-29"), "has no bars in 2024-03-01..2024-03-29; it has them from 2025-01-02"),
        (("--replay", "2025-02-08..2025-02-09"), "XNYS has no session in 2025-02-08..2025-02-09"),
        (("--replay", "2025-02-07..2025-02-03"), "ends before it begins"),
        (("--replay", "soon"), "--replay: 'soon' is not a date"),
        (("--replay", REPLAY, "--speed", "0"), "does not move"),
        (("--speed", "60"), "Real time has no speed"),
        (("--cash", "much"), "'much' is no amount"),
        (("--cash", "-1"), "'-1' is no amount"),
        (("--host", "0.0.0.0"), "add --allow-remote"),
        (("--alpaca-key", "PK1"), "APCA_API_KEY_ID is given and APCA_API_SECRET_KEY is not"),
        (("--alpaca-key", "AK1", "--alpaca-secret", "x"), "key of a live account"),
        (("--name", " "), "is no name for books"),
        (("--faults", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_remedy(
    collected: Project, scizor: Scizor, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    answer = scizor("paper", "serve", "--alpaca-port", "0", *options)
    assert (answer.code, said in answer.sentence) == (2, True), answer.sentence
    assert scizor("paper", "status", "--json").json == {"accounts": []}


def test_a_port_that_is_taken_is_named_before_anything_is_opened(collected: Project, scizor: Scizor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = scizor("paper", "serve", "--tws-port", port)
    assert answer.code == 2
    assert f"--tws-port: Port {port} of 127.0.0.1 cannot be listened on" in answer.sentence
    assert scizor("paper", "status", "--json").json == {"accounts": []}


def test_a_wrong_line_of_a_fault_script_is_named(collected: Project, scizor: Scizor, tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("rules:\n  - {door: alpaca, nth: 1, kind: earthquake}\n")
    answer = scizor("paper", "serve", "--alpaca-port", "0", "--faults", faults)
    assert answer.code == 2
    assert "faults.yaml:2" in answer.sentence
    assert "'earthquake' is no fault" in answer.sentence


def test_a_fresh_home_says_what_comes_first_and_stays_empty(fresh: Project, scizor: Scizor) -> None:
    answer = scizor("paper", "serve", "--alpaca-port", "0")
    assert answer.code == 2
    assert "Collect prices first: scizor collect history --market us" in answer.sentence
    assert not fresh.home.exists()


def test_another_deposit_for_the_same_books_is_refused(collected: Project, scizor: Scizor) -> None:
    with serving(collected, "--alpaca-port", "0") as served:
        served.stop()
    answer = scizor("paper", "serve", "--alpaca-port", "0", "--replay", REPLAY, "--cash", "7")
    assert answer.code == 1
    assert "was opened at alpaca with 100,000.00 USD, and now alpaca with 7.00 USD" in answer.sentence
