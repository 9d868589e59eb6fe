"""Code from outside, tried as what it might be: everything that gets through without walls does not get through them.

Each attempt is run twice: in an ordinary process, where it must succeed, and behind the walls, where it must not.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from scizor_dagster.backtest.model import Action, ActionKind, History
from scizor_dagster.errors import ConfigError, DataError
from scizor_dagster.instruments import Instrument
from scizor_dagster.strategies import sandbox
from scizor_dagster.strategies.sandbox import NotIsolated, require_name, weights_in_sandbox
from scizor_dagster.strategies.sandbox_walls import call_filter, readable

DAYS = tuple(date(2025, 1, 1) + timedelta(number) for number in range(30))
CLOSES = np.column_stack([np.linspace(10, 20, 30), np.linspace(50, 40, 30)])
HISTORY = History(
    DAYS,
    tuple(Instrument(name, "XNAS", "USD") for name in ("AAPL", "MSFT")),
    "USD",
    "raw",
    CLOSES,
    volume=np.full((30, 2), 1000.0),
    actions=(Action(ActionKind.DIVIDEND, 20, 0, 0.5),),
)
MENDED = "def weights(prices):\n    return {'AAPL': 0.25}\n"


def run(source: str, rows: tuple[int, ...] = (29,), **parameters: object) -> list[dict[str, float] | None]:
    return weights_in_sandbox(HISTORY, list(rows), "guest", source, parameters)


@pytest.fixture(autouse=True, scope="module")
def _walls_are_here() -> None:
    """Without them nothing is run at all, which a test below holds it to; then there is nothing to break out of."""
    try:
        run(MENDED)
    except NotIsolated as error:
        pytest.skip(error.problem)


ATTEMPTS = {
    "reads a file of the machine": "open('/etc/passwd').read()",
    "reads the ledger": "open(HOME + '/ledger.sqlite', 'rb').read()",
    "lists the home": "os.listdir(HOME)",
    "writes into the home": "open(HOME + '/new', 'w')",
    "cuts the ledger off": "os.close(os.open(HOME + '/spare', os.O_RDONLY | os.O_TRUNC))",
    "writes to a temporary folder": "open('/tmp/scizor-guest-' + str(os.getpid()), 'w')",
    "moves a file": "os.rename(HOME + '/spare', HOME + '/moved'); os.rename(HOME + '/moved', HOME + '/spare')",
    "links to a file": "os.link(HOME + '/spare', HOME + '/linked'); os.unlink(HOME + '/linked')",
    "changes who may read": "os.chmod(HOME + '/spare', 0o644)",
    "reads another process's environment": "open('/proc/%d/environ' % os.getppid(), 'rb').read()",
    "reads its own maps": "open('/proc/self/maps').read()",
    "connects to a service": "socket.create_connection(('127.0.0.1', PORT), 2).close()",
    "opens a socket of any kind": "socket.socket(socket.AF_UNIX).close()",
    "listens": "socket.create_server(('127.0.0.1', 0)).close()",
    "forks": "os.waitpid(os.fork() or os._exit(0), 0)",
    "runs a program": "subprocess.run(['/bin/true'], check=True)",
    "begins a thread": "t = threading.Thread(target=len, args=((),)); t.start(); t.join()",
    "signals another process": "os.kill(os.getppid(), 0)",
    "limits another process": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "has a file signal another process": "a = os.pipe(); fcntl.fcntl(a[0], fcntl.F_SETOWN, os.getpid())",
    "makes memory that is a file": "os.close(os.memfd_create('x'))",
    "finds a secret in its environment": "os.environ['SCIZOR_CANARY']",
    "imports the project's configuration": "open(PROJECT + '/config/config.yaml').read()",
    "gets more memory than it may": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
}
PRELUDE = """import os, socket, subprocess, threading, resource, fcntl
HOME, PORT, PROJECT = {home!r}, {port}, {project!r}
"""
WALLED = """
def weights(prices):
    through = attempts()
    assert not through, through
    return {'AAPL': 0.5}
"""
SPOKEN = """
import os, sys
def weights(prices):
    for fd in range(3, 20):
        try: os.write(fd, {answer!r})
        except OSError: pass
    os._exit(0)
"""
ENDLESS = """
import os
def weights(prices):
    while True:
        for fd in range(3, 20):
            try: os.write(fd, b'x' * 65536)
            except OSError: pass
"""
LOUD = """
import sys
for _ in range(2000):
    try: sys.stderr.write('x' * 100_000); print('y' * 100_000)
    except OSError: pass
"""
TRIED = """
def attempts():
    through = []
    for name, text in ATTEMPTS.items():
        try:
            exec(text, dict(globals()))
        except BaseException as error:
            if os.getpid() != ME:
                os._exit(1)
        else:
            through.append(name)
    return through
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[str]:
    """A home with a ledger, a listener, and the source of all attempts on them."""
    for name in ("ledger.sqlite", "spare"):
        (tmp_path / name).write_bytes(b"money")
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = {"home": str(tmp_path), "port": server.getsockname()[1], "project": str(sandbox.PROJECT_ROOT)}
        yield PRELUDE.format(**told) + f"ATTEMPTS = {ATTEMPTS!r}\nME = os.getpid()\n" + TRIED


def test_what_anybody_can_do_nobody_can_do_behind_the_walls(world: str, tmp_path: Path) -> None:
    # The last line of each is what it may answer: the number of attempts that got through, and their names as an error.
    free = subprocess.run(
        [sys.executable, "-c", f"{world}\nimport json\nprint(json.dumps(attempts()))"],
        env=os.environ | {"SCIZOR_CANARY": "secret"},
        capture_output=True,
        check=True,
    )
    assert set(json.loads(free.stdout)) == set(ATTEMPTS), free.stderr
    (tmp_path / "spare").write_bytes(b"money")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    walled = world + WALLED
    assert run(walled) == [{"AAPL": 0.5}]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_strategy_decides_on_the_closes_that_it_is_shown_as_it_would_outside() -> None:
    source = (
        "import numpy as np\n"
        "from scizor_dagster.strategies.protocol import Parameters\n"
        "class Window(Parameters):\n    sessions: int = 3\n    def window(self): return self.sessions\n"
        "def weights(prices, parameters: Window):\n"
        "    frame = prices.frame()\n"
        "    assert len(prices) == len(frame) == parameters.sessions\n"
        "    if prices.last.day == 29: return None\n"
        "    return {'AAPL': float(np.nansum(prices.closes()[-1])) / 1000, 'MSFT': 0.0}\n"
    )
    found = run(source, (10, 28, 29), sessions=5)
    assert found == [{"AAPL": pytest.approx(float(CLOSES[10].sum()) / 1000)}, None, {"AAPL": pytest.approx(0.06)}]


def test_nothing_of_the_code_is_run_in_the_process_that_asks() -> None:
    source = "import builtins, sys\nbuiltins.SCIZOR_GUEST = 1\nsys.modules['scizor_guest'] = sys\n" + MENDED
    assert run(source) == [{"AAPL": 0.25}]
    assert "scizor_guest" not in sys.modules
    assert not hasattr(__builtins__, "SCIZOR_GUEST")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def weights(prices):\n    return bytearray(3_000_000_000)", "MemoryError|MiB of memory"),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "seconds of processor time"),
        ("import ctypes\nctypes.string_at(0)", "without an answer"),
        ("def weights(prices):\n    return weights(prices)", "RecursionError"),
        ("def weights(prices:\n", "SyntaxError"),
        ("def weights(prices):\n    return {'TSLA': 1.0}", "TSLA"),
        ("def weights(prices):\n    raise ValueError('\\x1b[2J\\n' + 'x' * 10_000)", "ValueError: .\\[2J x{1,500}"),
    ],
)
def test_code_that_takes_too_much_or_answers_no_weights_is_an_error_and_no_more(
    source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = "import scizor_dagster.strategies.sandbox_walls as w; w.CPU_SECONDS = 3; "
    monkeypatch.setattr(sandbox, "_PROGRAM", sandbox._PROGRAM.replace("from scizor", setup + "from scizor", 1))
    with pytest.raises(DataError, match=said) as error:
        run(source)
    assert len(str(error.value)) < 2000
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"weights": [{"AAPL": 1e400}]}', "no number"),
        (b'{"weights": [{"AAPL": true}]}', "no number"),
        (b'{"weights": [{"AAPL": "1"}]}', "no number"),
        (b'{"weights": [{"AAPL": NaN}]}', "no number"),
        (b'{"weights": [{"TSLA": 1}]}', "not shown"),
        (b'{"weights": [["AAPL", 1]]}', "not shown"),
        (b'{"weights": [{}, {}]}', "another number of decisions"),
        (b'{"weights": 1}', "another number of decisions"),
        (b"[" * 100_000, "without an answer"),
        (b"[]", "something else than weights"),
        (b'{"problem": ["no", "text"], "remedy": 7}', "Mend the code"),
        (b'{"no_walls": "so it says"}', "so it says"),
    ],
)
def test_an_answer_that_the_code_has_forged_is_believed_in_nothing(answer: bytes, said: str) -> None:
    with pytest.raises((DataError, NotIsolated), match=said):
        sandbox._weights(sandbox._said(answer, 0, "guest"), HISTORY, [29], "guest")


def test_a_code_that_speaks_in_its_answers_place_is_no_more_believed() -> None:
    with pytest.raises(DataError, match="not shown"):
        run(SPOKEN.format(answer=b'{"weights": [{"TSLA": 1}]}'))


def test_an_answer_without_end_and_a_code_that_sleeps_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MAX_ANSWER_BYTES", 1_000_000)
    setup = "import scizor_dagster.strategies.sandbox_walls as w; w.CPU_SECONDS = 3; "
    monkeypatch.setattr(sandbox, "_PROGRAM", sandbox._PROGRAM.replace("from scizor", setup + "from scizor", 1))
    with pytest.raises(DataError):
        run(ENDLESS)
    monkeypatch.setattr(sandbox, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(DataError, match="no answer within"):
        run("import time\ntime.sleep(3600)\n")


def test_what_a_code_prints_without_end_is_not_kept() -> None:
    assert run(LOUD + MENDED) == [{"AAPL": 0.25}]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("w.LEAST_LANDLOCK = 99", "no Landlock"),
        ("w.platform.machine = lambda: 'sparc'", "not Linux on x86_64"),
        ("w.call_filter = lambda: b'nonsense'", "does not filter system calls"),
    ],
)
def test_without_walls_nothing_is_run(broken: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = f"import scizor_dagster.strategies.sandbox_walls as w; {broken}; "
    monkeypatch.setattr(sandbox, "_PROGRAM", sandbox._PROGRAM.replace("from scizor", setup + "from scizor", 1))
    with pytest.raises(NotIsolated, match=said):
        run("raise SystemError('it was run')")


def test_what_is_too_large_to_hand_over_is_refused_before_anything_is_started() -> None:
    with pytest.raises(DataError, match="too large"):
        run("#" * (sandbox.MAX_SOURCE_BYTES + 1))


def test_a_name_is_a_name() -> None:
    require_name("evenly_2")
    for name in ("", "A", "../x", "x" * 32, "x\n"):
        with pytest.raises(ConfigError, match="no name of a strategy"):
            require_name(name)


def test_the_filter_kills_what_counts_its_calls_otherwise_and_readable_folders_hold_no_project() -> None:
    program = call_filter()
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096
    root = str(sandbox.PROJECT_ROOT)
    assert not any(root == name or root.startswith(f"{name}/") for name in readable())
