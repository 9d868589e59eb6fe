"""A real Postgres for the tests: one server per test process, a new database per test.

The server listens on a free port of the loopback interface, keeps its files in a folder of its own, and ends with the
process that started it, however that ends. Binaries are those on PATH, of Debian's packages, or in
`SCIZOR_POSTGRES_BIN`. Postgres does not run as root; then it runs as `postgres`, or as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg2
import psycopg2.extensions

START_SECONDS = 60
MEMORY = "/dev/shm"
ROOM_BYTES = 2 * 1024**3
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "autovacuum": "off",
    # In its own folder, where nothing of it is left behind however it ends.
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
}
# Reads its standard input until this process is gone, whatever ended it, and takes the server along.
_KEEPER = """
import os, shutil, signal, sys
sys.stdin.buffer.read()
folder = sys.argv[1]
try:
    pid = int(open(os.path.join(folder, "data", "postmaster.pid")).readline())
    os.kill(pid, signal.SIGQUIT)
except (OSError, ValueError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


class PostgresMissing(Exception):
    """No binaries of a server were found."""


def binaries() -> Path:
    """Folder of `initdb`, `pg_ctl` and `postgres`.

    Raises:
        PostgresMissing: there is none.
    """
    named = os.environ.get("SCIZOR_POSTGRES_BIN")
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    candidates = [Path(named)] if named else [*([Path(on_path).resolve().parent] if on_path else []), *debian]
    for folder in candidates:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise PostgresMissing(
        f"no Postgres server in {', '.join(map(str, candidates)) or 'PATH or /usr/lib/postgresql'}; "
        "install Debian's package postgresql, or set SCIZOR_POSTGRES_BIN"
    )


@dataclass(eq=False)
class Server:
    """A running server. `url(name)` leads to a database; `new_database` makes one from the template.

    Attributes:
        before: What is put before each of its commands.
        network: Of other hosts that may reach it, beside this one; of this one by a socket in its folder then.
    """

    folder: Path
    port: int
    bin: Path
    before: tuple[str, ...]
    network: str = ""

    def __post_init__(self) -> None:
        self._numbers = count(1)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """The process id of the server's parent process."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str, host: str = "127.0.0.1") -> str:
        return f"postgresql://scizor@{host}:{self.port}/{database}"

    def admin(self, database: str = "postgres") -> psycopg2.extensions.connection:
        """A connection of the tests' own, in autocommit mode."""
        host = str(self.folder) if self.network else "127.0.0.1"
        connection = psycopg2.connect(user="scizor", dbname=database, host=host, port=self.port)
        connection.autocommit = True
        return connection

    def execute(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[object, ...]]:
        connection = self.admin(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def new_database(self, template: str = "template1") -> str:
        """Create a database and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, database: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def crash(self) -> None:
        """Stop at once, as a power cut would: no checkpoint, every connection cut."""
        self._control("stop", "--mode=immediate")

    def stop(self) -> None:
        """Stop in order, with nothing to recover; clients are cut."""
        self._control("stop", "--mode=fast")

    def kill(self) -> None:
        """SIGKILL to its first process and to every other one, and wait until they are gone."""
        first = self.pid
        everyone = [first, *_children(first)]
        for pid in everyone:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Also as one that has ended and was not asked for yet: a server that starts would take it for a living one.
        _await(lambda: not any(_status(pid)[0] for pid in everyone), "the killed server is still there")

    def kill_backend(self, pid: int) -> None:
        """SIGKILL to the process of one session: the server ends all others too, and recovers."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _await(lambda: not _alive(pid), "the killed session is still there")

    def answers(self) -> bool:
        """Whether a session can be opened at this moment."""
        try:
            self.admin().close()
        except psycopg2.OperationalError:
            return False
        return True

    def recover(self) -> None:
        """Wait until it answers, started anew where it is not running."""
        if not _alive(self.pid):
            self.start()
        _await(self.answers, "the server does not come back")

    def start(self) -> None:
        self._control("start", f"--log={self.folder / 'log'}", f"--timeout={START_SECONDS}")

    def _control(self, *arguments: str) -> None:
        command = [*self.before, str(self.bin / "pg_ctl"), f"--pgdata={self.data}", "--wait", "--silent", *arguments]
        # Its output goes nowhere: the server inherits it, and a pipe would stay open as long as it runs.
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{' '.join(command)} failed:\n{log.read_text()[-2000:] if log.exists() else ''}")


@contextmanager
def running(*, memory: bool = True, enter: Sequence[str] = (), network: str = "") -> Iterator[Server]:
    """Start a server for the block. It ends with the block, and with this process at the latest.

    `enter` is put before its commands: they run on another host. `network` is that of those that may reach it there.

    Its files are kept in memory where there is room, unless what a disk costs is to be seen.

    Raises:
        PostgresMissing: there are no binaries.
    """
    folder = binaries()
    home = Path(tempfile.mkdtemp(prefix="scizor-postgres-", dir=_fast_folder() if memory else None))
    server = Server(home, _free_port(), folder, (*enter, *_as_user(home)), network)
    keeper = subprocess.Popen(
        [sys.executable, "-c", _KEEPER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A Ctrl-C at the terminal ends the tests first, and the server with them.
        start_new_session=True,
    )
    try:
        _initialise(server)
        server.start()
        yield server
    finally:
        with suppress(RuntimeError):
            server.crash()
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(30)


def _initialise(server: Server) -> None:
    options = ["--username=scizor", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"]
    command = [*server.before, str(server.bin / "initdb"), f"--pgdata={server.data}", *options]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")
    settings = {**_SETTINGS, "port": str(server.port)}
    if server.network:
        settings |= {"listen_addresses": "*", "unix_socket_directories": str(server.folder)}
        with (server.data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {server.network} trust\n")
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")


def _children(pid: int) -> list[int]:
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _status(int(entry.name))[1] == pid
    ]


def _alive(pid: int) -> bool:
    """Whether it is a process of a server; one that has ended and was not asked for is dead."""
    state, _, name = _status(pid)
    return state not in ("", "Z") and name == "postgres"


def _status(pid: int) -> tuple[str, int, str]:
    """State, parent and name of a process; empty where there is none."""
    with suppress(FileNotFoundError, ProcessLookupError):
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        state, parent, *_ = rest.split()
        return state, int(parent), head.partition("(")[2]
    return "", 0, ""


def _await(true: Callable[[], bool], problem: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(problem)
        time.sleep(0.002)


def _as_user(home: Path) -> tuple[str, ...]:
    """What to put before a command so that it does not run as root, which a server refuses."""
    if os.geteuid() != 0:
        return ()
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(home, user.pw_uid, user.pw_gid)
            return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    raise RuntimeError("there is neither a user 'postgres' nor 'nobody' to run a server as")


def _fast_folder() -> str | None:
    """Memory, where there is room: fsync stays on and costs nothing. No test here cuts the power of a machine."""
    usage = shutil.disk_usage(MEMORY) if os.path.isdir(MEMORY) else None
    return MEMORY if usage is not None and usage.free >= ROOM_BYTES and os.access(MEMORY, os.W_OK) else None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    # For the Makefile: whether what needs a server can be tested here.
    try:
        binaries()
    except PostgresMissing as missing:
        sys.exit(f"The order core's coverage is shown, and not held to 100 %: {missing}.")
