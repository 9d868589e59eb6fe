"""Where the services listen: on this machine, or elsewhere with something that keeps keys private."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from scizor_dagster.api.serving import Listening, bound, check, is_loopback
from scizor_dagster.config import ApiRules
from scizor_dagster.errors import InputError
from tests.api.conftest import key_for
from tests.projects import Project

NAMED = ApiRules(hosts=("desk.example",))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    for file in files:
        file.touch()
    return files


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_alone_needs_nothing(host: str) -> None:
    assert is_loopback(host)
    check(Listening(host, 8000), ApiRules())


@pytest.mark.parametrize("proxy", ["*", "", "0.0.0.0/0", "::/0", "proxy.example", "127.0.0.1, *"])
def test_no_setting_lets_everybody_say_where_they_ask_from(proxy: str) -> None:
    with pytest.raises(ValidationError):
        ApiRules(trusted_proxies=(proxy,))
    assert ApiRules(trusted_proxies=("10.1.0.0/16", "fd00::7")).trusted_proxies == ("10.1.0.0/16", "fd00::7")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "desk.example", "8.8.8.8", ""])
def test_an_address_that_others_reach_needs_tls_or_a_stated_proxy(host: str, pair: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="can be reached by other machines") as refused:
        check(Listening(host, 8000), NAMED)
    assert refused.value.exit_code == 2
    check(Listening(host, 8000, *pair), NAMED)
    check(Listening(host, 8000, proxy="https://desk.example"), NAMED)


@pytest.mark.parametrize("proxy", ["http://desk.example", "desk.example", "https://", "ftp://desk.example"])
def test_a_proxy_that_keeps_nothing_private_is_none(proxy: str) -> None:
    with pytest.raises(InputError, match="no address of a proxy"):
        check(Listening("0.0.0.0", 8000, proxy=proxy), NAMED)


def test_every_address_needs_a_name_to_be_asked_by(pair: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="no name of it is known"):
        check(Listening("0.0.0.0", 8000, *pair), ApiRules())


def test_half_a_certificate_and_one_that_is_not_there_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs its key"):
        check(Listening("127.0.0.1", 8000, pair[0]), NAMED)
    with pytest.raises(InputError, match="no such file"):
        check(Listening("127.0.0.1", 8000, pair[0], tmp_path / "none.pem"), NAMED)


def test_what_clients_ask_is_told_with_its_scheme(pair: tuple[Path, Path]) -> None:
    shown = [Listening("0.0.0.0", 8000).url, Listening("::1", 8001).url, Listening("localhost", 1, *pair).url]
    assert shown == ["http://127.0.0.1:8000", "http://[::1]:8001", "https://localhost:1"]
    assert Listening("192.168.0.7", 1, proxy="https://desk.example/x").names == ("192.168.0.7", "desk.example")


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match="cannot be listened on"):
            bound(Listening("127.0.0.1", other.getsockname()[1]))


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_served_service_answers_over_a_socket_and_a_signal_ends_it_well(
    fresh: Project, project_root: Path, ending: signal.Signals
) -> None:
    key = key_for(fresh, now=datetime.now(UTC))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "scizor_dagster",
        "serve",
        "--service",
        "backtester",
        "--port",
        str(port),
        "--json",
    ]
    environment = {**os.environ, **fresh.environment, "PYTHONPATH": str(project_root)}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=fresh.folder, text=True
    )
    try:
        said = ""
        while not said.rstrip().endswith("}"):
            said += server.stdout.readline()  # type: ignore[union-attr]
        url = json.loads(said)["url"]
        request = urllib.request.Request(f"{url}/api/strategies", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert "weekly" in {item["name"] for item in json.loads(answer.read())["items"]}
            assert "server" not in {name.lower() for name in answer.headers}
    finally:
        server.send_signal(ending)
        _, complained = server.communicate(timeout=60)
    assert (server.returncode, complained) == (0, "")
