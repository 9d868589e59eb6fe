"""The compose file as it stands, end to end: real processes in networks of their own, driven through the proxy.

Postgres with a password, `scizor upgrade`, code location, both webservers, the daemon, the services and nginx, by the
commands, variables and health checks of the file, on a read-only file system; then an operator logs in and launches a
run, a viewer sees it end, a program reads what it has collected, and nobody reaches what is not theirs.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.mutations import launch
from tests.deploy.namespaces import WORLD, Machine, NoNamespaces, backup_of, run
from tests.deploy.proxied import API_HOST, OPERATOR_HOST, VIEWER_HOST, own_page, require, until
from tests.deploy.wire import JSON, Answer, request
from tests.postgres import _as_user
from tests.projects import small_project

pytestmark = pytest.mark.timeout(600)
SECONDS = 240
THROUGH = "2025-02-14"


@pytest.fixture(scope="module")
def machine(postgres_binaries: Path) -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("networks of their own are root's to make")
    require("ip", "nginx", "openssl", "setpriv", "curl")
    folder = Path(tempfile.mkdtemp(prefix="scizor-services-", dir="/run"))
    folder.chmod(0o755)
    made = Machine(folder, secrets.token_hex(2), postgres_binaries)
    try:
        try:
            made.connect()
        except NoNamespaces as reason:
            pytest.fail(str(reason)) if os.environ.get("CI") else pytest.skip(str(reason))
        _prepare(made)
        _start(made)
        yield made
    finally:
        made.end()


def _prepare(machine: Machine) -> None:
    """What docs/deploy.md has its reader prepare."""
    folder, password = machine.folder, secrets.token_hex(16)
    for name in ("settings", "home", "backups", "secrets", "run"):
        (folder / name).mkdir()
        os.chown(folder / name, machine.user, machine.user)
    url = f"postgresql://scizor:{password}@postgres:5432/scizor"
    (folder / "secrets" / "database.env").write_text(f"DATABASE_URL={url}\n", encoding="utf-8")
    # Compiling the planner takes a minute, and none of this needs it.
    (folder / "secrets" / "brokers.env").write_text("SCIZOR_KERNEL=python\n", encoding="utf-8")
    (folder / "secrets" / "postgres_password").write_text(password, encoding="utf-8")
    api = {"trusted_proxies": ["172.30.82.0/24"], "dagster_url": "http://webserver:3000"}
    small_project(folder / "settings", api=api)
    shutil.copy(Path(__file__).parent / "weights.csv", folder / "settings" / "weights.csv")
    machine.prepare_proxy()
    _make_database(machine, folder / "secrets" / "postgres_password")


def _make_database(machine: Machine, password: Path) -> None:
    """What the image of Postgres does at its first start."""
    data = machine.folder / "database"
    data.mkdir()
    service = machine.services["postgres"]["environment"]
    options = [
        *service["POSTGRES_INITDB_ARGS"].split(),
        f"--username={service['POSTGRES_USER']}",
        f"--pwfile={password}",
    ]
    run(*_as_user(data), str(machine.bin / "initdb"), f"--pgdata={data}", *options, cwd="/")
    (data / "pg_hba.conf").open("a").write("host all all all scram-sha-256\n")
    (data / "postgresql.conf").open("a").write("listen_addresses = '*'\nunix_socket_directories = ''\nfsync = on\n")
    single = [str(machine.bin / "postgres"), "--single", "-D", str(data), "postgres"]
    run(*_as_user(data), *single, cwd="/", input=f"CREATE DATABASE {service['POSTGRES_DB']};\n")


def _start(machine: Machine) -> None:
    """In the order that the file's `depends_on` asks for."""
    binary, *settings = machine.services["postgres"]["command"]
    data = machine.folder / "database"
    _foreign(machine, "postgres", [*_as_user(data), str(machine.bin / binary), "-D", str(data), *settings])
    here = machine.addresses["database"]["postgres"]
    until(lambda: machine.reaches("upgrade", here, 5432), "Postgres listens", SECONDS, 0.5)
    upgraded = machine.once("upgrade", machine.services["upgrade"]["command"])
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    for name in ("code", "api"):
        machine.start(name)
    until(lambda: machine.healthy("code"), "the code location is healthy", SECONDS, 0.5)
    for name in ("webserver", "viewer", "daemon"):
        machine.start(name)
    proxy = ["nginx", "-p", f"{machine.folder}/run/", "-c", f"{machine.folder}/proxy/nginx.conf"]
    _foreign(machine, "proxy", [*proxy, "-g", "daemon off; user root;"])
    for name in ("webserver", "viewer", "api", "daemon", "proxy"):
        until(lambda name=name: machine.healthy(name), f"{name} is healthy", SECONDS, 0.5)  # type: ignore[misc]


def _foreign(machine: Machine, name: str, words: list[str]) -> None:
    """A service whose image is not ours: its program of this machine, in its network."""
    with (machine.folder / f"{name}.log").open("wb") as log:
        inside = ["ip", "netns", "exec", machine.namespace(name), *words]
        machine.processes[name] = subprocess.Popen(
            inside, stdout=log, stderr=subprocess.STDOUT, cwd="/", start_new_session=True
        )


def _asked(host: str, query: str, **variables: Any) -> tuple[str, bytes]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    return host, request("/graphql", [("Host", host), JSON, *own_page(host)], body)


def _one(machine: Machine, ask: tuple[str, bytes]) -> Answer:
    (answer,) = machine.visit(ask)
    return answer


def _launched(machine: Machine, host: str = OPERATOR_HOST) -> Answer:
    tags = {"dagster/asset_partition_range_start": "2025", "dagster/asset_partition_range_end": "2025"}
    selector = {"repositoryName": "__repository__", "repositoryLocationName": "scizor", "jobName": "collect_history"}
    asked = {
        "selector": selector,
        "mode": "default",
        "runConfigData": {"ops": {"us__historical_chunks": {"config": {"through": THROUGH}}}},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    return _one(machine, _asked(host, launch().query, e=asked))


def test_a_run_goes_from_the_login_to_what_a_program_reads(machine: Machine) -> None:
    answer = _launched(machine)
    assert answer.status == 200, answer
    assert answer.data["done"]["__typename"] == "LaunchRunSuccess", answer.body
    run_id = answer.data["done"]["run"]["runId"]
    status = "query S($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"

    def state() -> str:
        return str(_one(machine, _asked(VIEWER_HOST, status, r=run_id)).data["runOrError"]["status"])

    until(lambda: state() in {"SUCCESS", "FAILURE", "CANCELED"}, "the run has ended", SECONDS, 0.5)
    assert state() == "SUCCESS", machine.log("code")[-3000:]

    made = machine.once("api", ["scizor", "keys", "create", "reader", "--scope", "read", "--all-accounts"])
    assert made.returncode == 0, made.stderr
    headers = [("Host", API_HOST), ("Authorization", f"Bearer {made.stdout.strip()}")]
    target = f"/api/data/AAPL?start_date=2025-02-10&end_date={THROUGH}"
    read = _one(machine, (API_HOST, request(target, headers, method="GET")))
    assert read.status == 200, read
    assert b"2025-02-14" in read.body
    assert _one(machine, (API_HOST, request(target, headers[:1], method="GET"))).status == 401


def test_a_viewer_launches_nothing(machine: Machine) -> None:
    assert _launched(machine, VIEWER_HOST).data["done"]["__typename"] == "UnauthorizedError"


def test_nobody_reaches_what_is_not_theirs(machine: Machine) -> None:
    at = machine.addresses
    database, code = at["database"]["postgres"], at["code"]["code"]
    assert machine.reaches("webserver", database, 5432)
    assert machine.reaches("daemon", code, 4000)
    assert machine.reaches("proxy", at["web"]["webserver"], 3000)
    assert machine.reaches(WORLD, at["edge"]["proxy"], 8443)
    for name, address, port in (
        ("proxy", database, 5432),
        ("proxy", code, 4000),
        ("api", code, 4000),
        (WORLD, at["web"]["webserver"], 3000),
        (WORLD, at["web"]["viewer"], 3000),
        (WORLD, at["web"]["api"], 8000),
        (WORLD, at["edge"]["proxy"], 8081),
        (WORLD, database, 5432),
    ):
        assert not machine.reaches(name, address, port), f"{name} reaches {address}:{port}"


WRITES = """
for place in / /usr /opt/scizor /var/lib; do touch $place/x 2>/dev/null && exit 3; done
touch /tmp/x /var/lib/scizor/x
"""


def test_no_process_of_ours_may_write_beside_its_folders(machine: Machine) -> None:
    for name in ("code", "api", "webserver", "daemon"):
        tried = machine.once(name, ["sh", "-c", WRITES])
        assert tried.returncode == 0, (name, tried)
    assert machine.once("viewer", ["touch", "/var/lib/scizor/y"]).returncode != 0
    assert "CapEff:\t0000000000000000" in machine.once("code", ["cat", "/proc/self/status"]).stdout


def test_the_password_of_the_database_is_in_no_log_and_no_file_of_ours(machine: Machine) -> None:
    password = (machine.folder / "secrets" / "postgres_password").read_bytes()
    logs = [path for path in machine.folder.glob("*.log") if password in path.read_bytes()]
    files = [path for path in (machine.folder / "home").rglob("*") if path.is_file() and password in path.read_bytes()]
    assert (logs, files) == ([], [])
    assert [line for line in _command_lines(machine) if password in line] == []


def _command_lines(machine: Machine) -> Iterator[bytes]:
    for name in machine.services:
        for pid in run("ip", "netns", "pids", machine.namespace(name)).stdout.split():
            with suppress(OSError):
                yield Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_backup_of_the_file_makes_one(machine: Machine) -> None:
    kind, flag, line = machine.services["backup"]["command"]
    done = machine.once("backup", [kind, flag, backup_of([kind, flag, line])])
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((machine.folder / "backups").iterdir())


# What a minute without a daemon comes to.
FORGET = """
import os, psycopg2
connection = psycopg2.connect(os.environ["DATABASE_URL"])
connection.autocommit = True
connection.cursor().execute("DELETE FROM dagster.daemon_heartbeats")
"""


def test_a_backup_is_brought_back_in_its_container_once_nobody_is_at_work(machine: Machine) -> None:
    (made,) = (path.name for path in (machine.folder / "backups").glob("scizor-*"))
    back = ["scizor", "restore", f"/var/backups/scizor/{made}", "--replace"]
    refused = machine.once("backup", back)
    assert refused.returncode == 1, refused
    # Which of them is named first, the services or the daemon, depends on who has asked the ledger lately.
    assert "Nothing was moved. Stop whatever runs with this home" in refused.stderr
    for name in ("proxy", "webserver", "viewer", "daemon", "api", "code"):
        machine.stop(name)
    assert machine.once("backup", ["python", "-c", FORGET]).returncode == 0
    done = machine.once("backup", back)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Restored ledger, lake" in done.stdout
    looked = machine.once("code", ["scizor", "doctor"])
    assert "ledger whole" in looked.stdout, looked.stdout + looked.stderr
