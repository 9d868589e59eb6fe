"""Two worker hosts, one server, one exchange, each with a network of its own: nothing lost, nothing twice.

A host that is cut off says nothing to anybody. Every bound of the product is shortened by the same factor
(`worker.FASTER`), so that what takes a minute or two in production is over in seconds.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import initialise
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify
from tests.acceptance.wires import DAY, ENVIRONMENT, WEIGHTS
from tests.machines import network
from tests.machines.network import Wire, hosts
from tests.machines.speech import PATIENCE, Peer, peer
from tests.machines.worker import EPOCH, HOST, SERVER
from tests.postgres import Server, running
from tests.projects import project_at, small_project, write_weights

SYMBOLS = tuple(WEIGHTS)
NETWORK = "10.77.0.0/16"


@dataclass(frozen=True)
class Worker:
    """A worker host: its process, and its wires to the server and to the exchange."""

    name: str
    process: Peer
    to_server: Wire
    to_exchange: Wire

    def cut_off(self) -> None:
        self.to_server.pull()
        self.to_exchange.pull()

    def come_back(self) -> None:
        self.to_server.mend()
        self.to_exchange.mend()


@dataclass(frozen=True)
class Site:
    """All of it: the server in one network, the exchange in another, and two workers."""

    server: Server
    template: str
    exchange: Peer
    one: Worker
    other: Worker
    folder: Path

    def sent(self, name: str) -> Counter[str]:
        """How often each order of a plan has been taken by the exchange."""
        orders = self.exchange.ask(do="orders")["orders"]
        return Counter(order for order in orders if order.startswith(f"{name}-"))


@dataclass(frozen=True)
class Trial:
    """A ledger of its own on the server, and plans of names of their own."""

    site: Site
    database: str
    name: str

    def start(self, worker: Worker, portfolio: str = "main", name: str = "", **word: Any) -> None:
        worker.process.say(do="run", database=self.database, portfolio=portfolio, name=name or self.name, **word)

    def run(self, worker: Worker, portfolio: str = "main", **word: Any) -> dict[str, Any]:
        self.start(worker, portfolio, **word)
        return worker.process.hear()

    def run_until_done(self, worker: Worker) -> list[dict[str, Any]]:
        """Run as a schedule does, until the plan is carried out; everything that was said before."""
        said: list[dict[str, Any]] = []
        deadline = time.monotonic() + PATIENCE
        while (word := self.run(worker)).get("state") != "done":
            assert time.monotonic() < deadline, said
            said.append(word)
        return said

    def store(self, worker: Worker, base: str, value: float, **word: Any) -> None:
        worker.process.say(do="store", database=self.database, base=base, value=value, **word)

    def rates(self, worker: Worker) -> dict[tuple[str, str], float]:
        """What is in the lake, as the worker sees it."""
        rows = worker.process.ask(do="rates", database=self.database)["rates"]
        assert len({(base, quote) for base, quote, _ in rows}) == len(rows), rows
        return {(base, quote): value for base, quote, value in rows}

    def check_whole(self, *names: str) -> list[str]:
        """Each order has reached the exchange once, and the ledger says so; the kinds of its entries."""
        for name in names or (self.name,):
            assert self.site.sent(name) == {f"{name}-{symbol}": 1 for symbol in SYMBOLS}
        ledger = Ledger.open_to_read(_here(self.site.server, self.database))
        try:
            with ledger.read() as connection:
                assert verify(connection) == []
                return [row.kind for row in connection.exec_driver_sql("SELECT kind FROM events ORDER BY seq")]
        finally:
            ledger.close()


def _here(server: Server, database: str) -> str:
    """The URL of a database by the server's socket, which lies on the disk that all see."""
    return f"postgresql://scizor@/{database}?host={server.folder}&port={server.port}"


@pytest.fixture(scope="module")
def site(postgres_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    reason = network.missing()
    if reason and os.environ.get("CI") and os.geteuid() == 0:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    names = ("one", "other")
    with ExitStack() as stack:
        server_host, exchange_host, *worker_hosts = stack.enter_context(hosts(["server", "exchange", *names]))
        wires = [(Wire(server_host, host), Wire(exchange_host, host)) for host in worker_hosts]
        server = stack.enter_context(running(enter=server_host.enter, network=NETWORK))
        exchange = stack.enter_context(peer(exchange_host, "tests.machines.exchange", {}, folder / "exchange.log"))
        epoch = str(time.time())
        workers = []
        for name, host, pair in zip(names, worker_hosts, wires, strict=True):
            (folder / name).mkdir()
            environment = {
                **project_at(folder / name).environment,
                **ENVIRONMENT,
                "SCIZOR_LAKE_DATA": str(folder / "shared"),
                SERVER: server.url("{}", pair[0].address),
                HOST: host.name,
                EPOCH: epoch,
            }
            process = stack.enter_context(peer(host, "tests.machines.worker", environment, folder / f"{name}.log"))
            workers.append(Worker(name, process, *pair))
        told = exchange.ready().ask(do="tell")
        for name, pair in zip(names, wires, strict=True):
            _write_project(folder / name, f"http://{pair[1].address}:{told['port']}", told["numbers"])
        for worker in workers:
            worker.process.ready()
        template = server.new_database()
        Ledger.open(_here(server, template)).close()
        lake = Lake(LakeLocation.on_server(_here(server, template), str(folder / "shared")))
        initialise(lake)
        lake.close()
        yield Site(server, template, exchange, *workers, folder)


def _write_project(folder: Path, url: str, numbers: Sequence[str]) -> None:
    """A host's own project: two portfolios, each on an account of its own, at the exchange as the host reaches it."""
    account = {
        "broker": "alpaca",
        "url": url,
        "requests_per_minute": 10_000,
        "currency": "USD",
        "initial_cash": 100_000.0,
        "environment": "paper",
        "timeout": 5.0,
    }
    keys = {"key_id": "${OTHER_KEY_ID}", "secret_key": "${OTHER_SECRET_KEY}"}
    accounts = {
        "paper": None,
        "broker": account | {"account_id": numbers[0]},
        "second": account | {"account_id": numbers[1]} | keys,
    }
    common = {"market": "us", "capital": {"share": 1.0}, "signals": {"mode": "select", "strategy": "weekly"}}
    portfolios = {"main": {"account": "broker"}, "other": common | {"account": "second"}}
    small_project(folder, accounts=accounts, portfolios=portfolios)
    write_weights(folder / "weights.csv", {DAY: WEIGHTS})


@pytest.fixture
def trial(site: Site) -> Iterator[Trial]:
    number = next(_NUMBERS)
    database = site.server.new_database(site.template)
    yield Trial(site, database, f"t{number}")
    site.one.come_back()
    site.other.come_back()
    site.server.drop(database)


_NUMBERS = count(1)


def test_two_hosts_that_run_one_portfolio_at_once_send_each_order_once(trial: Trial, site: Site) -> None:
    for worker in (site.one, site.other):
        trial.start(worker)
    said = [worker.process.hear() for worker in (site.one, site.other)]
    assert "done" in [word.get("state") for word in said], said
    assert [word for word in said if word.get("state") != "done" and word.get("failure") != "AccountBusy"] == []
    trial.check_whole()


def test_two_hosts_run_two_portfolios_at_once(trial: Trial, site: Site) -> None:
    names = {"main": f"{trial.name}m", "other": f"{trial.name}o"}
    for worker, (portfolio, name) in zip((site.one, site.other), names.items(), strict=True):
        trial.start(worker, portfolio, name=name)
    said = [worker.process.hear() for worker in (site.one, site.other)]
    assert [word.get("state") for word in said] == ["done", "done"], said
    trial.check_whole(*names.values())


CUTS = [("before submit", 2), ("after submit", 2), ("before commit", 3)]
"""Where a host is cut off; in torture at each of the first commits, and around each send."""
if os.environ.get("SCIZOR_TORTURE"):
    # Before its first commit a host holds nothing yet.
    CUTS = [*product(["before submit", "after submit"], (1, 2, 3)), ("after commit", 1)]
    CUTS += product(["before commit", "after commit"], range(2, 9))


@pytest.mark.parametrize("stop", CUTS, ids=lambda stop: f"{stop[0]} {stop[1]}".replace(" ", "-"))
def test_a_host_that_is_cut_off_is_replaced_and_can_do_nothing_when_it_is_back(
    trial: Trial, site: Site, stop: tuple[str, int], record_property: Any
) -> None:
    trial.start(site.one, stop=stop)
    assert site.one.process.hear() == {"stopped": stop[0]}
    site.one.cut_off()
    began = time.monotonic()
    said = trial.run_until_done(site.other)
    record_property("seconds until the other host was through", round(time.monotonic() - began, 1))
    # Who is kept waiting is told by whom, and for how long at most.
    assert all(word["remedy"] for word in said)
    assert "lease_taken_over" in trial.check_whole()
    site.one.come_back()
    woken = site.one.process.ask(do="go on")
    # What it would write is refused; where it has nothing left to write, it finds all of it done.
    assert woken.get("failure", woken.get("state")) in ("LedgerError", "CommitInDoubt", "done"), woken
    assert ("before commit" in stop) <= ("failure" in woken), woken
    assert trial.run(site.one).get("state") == "done"
    trial.check_whole()


def test_a_host_that_only_its_ledger_cannot_be_reached_from_ends_by_itself_and_says_what_to_do(
    trial: Trial, site: Site
) -> None:
    trial.start(site.one, stop=("before submit", 1))
    assert site.one.process.hear() == {"stopped": "before submit"}
    site.one.to_server.pull()
    # Its order is sent: it was committed before. What has become of it cannot be.
    ended = site.one.process.ask(do="go on")
    assert ended["failure"] == "LedgerError", ended
    assert "run again" in ended["remedy"]
    trial.run_until_done(site.other)
    assert "lease_taken_over" in trial.check_whole()


def _both(base: str, value: float) -> dict[tuple[str, str], float]:
    return {(base, quote): value for quote in ("EUR", "JPY")}


def test_two_hosts_write_to_one_lake_at_once(trial: Trial, site: Site) -> None:
    for worker, base in ((site.one, "USD"), (site.other, "AUD")):
        trial.store(worker, base, 1.5)
    said = [worker.process.hear() for worker in (site.one, site.other)]
    assert [word.get("stored") for word in said] == ["USD", "AUD"], said
    for worker in (site.one, site.other):
        assert trial.rates(worker) == _both("USD", 1.5) | _both("AUD", 1.5)


def test_a_host_that_is_cut_off_in_a_write_to_the_lake_leaves_nothing_of_it_and_keeps_nobody_waiting_for_good(
    trial: Trial, site: Site, record_property: Any
) -> None:
    trial.store(site.one, "USD", 1.5, stop=True)
    assert site.one.process.hear() == {"stopped": "in the lake"}
    site.one.cut_off()
    began, said = time.monotonic(), []
    while True:
        trial.store(site.other, "USD", 2.5)
        if (word := site.other.process.hear()).get("stored"):
            break
        said.append(word)
        assert time.monotonic() - began < PATIENCE, said
    record_property("seconds until the other host could write", round(time.monotonic() - began, 1))
    assert trial.rates(site.other) == _both("USD", 2.5)
    site.one.come_back()
    woken = site.one.process.ask(do="go on")
    assert woken["failure"] == "DataError", woken
    assert "run again" in woken["remedy"]
    assert trial.rates(site.one) == _both("USD", 2.5)
    trial.store(site.one, "USD", 3.5)
    assert site.one.process.hear()["stored"] == "USD"
    assert trial.rates(site.other) == _both("USD", 3.5)
