"""Fixtures and guards that every test shares: no network beyond loopback, ledgers, reference data by setting."""

import gc
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import postgres as servers
from tests.filled import filled_in
from tests.ledgers import postgres_ledger, sqlite_ledger
from tests.projects import Project

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_LOOPBACK = ("127.", "::1", "localhost")


def pytest_collection_finish() -> None:
    """What has been imported by now stays: looking through all of it again takes a second, many times in a run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def project_root() -> Path:
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of real prices and weights: `SCIZOR_REFERENCE_DATA`, else `../shared/data`."""
    folder = Path(os.environ.get("SCIZOR_REFERENCE_DATA") or PROJECT_ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        reason = f"no reference data in {folder}; set SCIZOR_REFERENCE_DATA"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def postgres_binaries() -> Path:
    """Folder of a server's programs. A user may have none; CI has them."""
    try:
        return servers.binaries()
    except servers.PostgresMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres(postgres_binaries: Path) -> Iterator[servers.Server]:
    """A running server of this test process; see `tests.postgres`."""
    with servers.running() as server:
        yield server


@pytest.fixture
def new_ledger(postgres: servers.Server) -> Iterator[Callable[[], str]]:
    """Makes new, migrated ledgers on the server, for tests that need many."""
    made: list[str] = []

    def make() -> str:
        made.append(postgres_ledger(postgres))
        return made[-1]

    yield make
    for url in made:
        postgres.drop(url.rpartition("/")[2])


@pytest.fixture
def postgres_url(new_ledger: Callable[[], str]) -> str:
    """A new, migrated ledger on the server."""
    return new_ledger()


@pytest.fixture
def store() -> str:
    """The kind of store that a test's ledger lies in; packages whose tests run on each kind replace this."""
    return "sqlite"


@pytest.fixture
def ledger_url(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A new, migrated ledger on the test's kind of store."""
    url: str = request.getfixturevalue("postgres_url") if store == "postgres" else sqlite_ledger(tmp_path)
    return url


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose home is filled; see `tests.filled`. It is everybody's: work on a copy."""
    shared = tmp_path_factory.getbasetemp()
    return filled_in(shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared)


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> object:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            host = str(address[0])
            if not host.startswith(_LOOPBACK):
                raise RuntimeError(f"a test tried to reach {host}; only loopback is allowed")
        return connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
