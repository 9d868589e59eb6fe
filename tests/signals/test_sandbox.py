"""Files that would take a process down are read in one that may go down; the service goes on."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from scizor_dagster.config import WeightRules
from scizor_dagster.signals import child, sandbox
from scizor_dagster.signals.intake import check_file
from scizor_dagster.signals.readers import WeightFileMissing
from scizor_dagster.signals.reading import Reading
from scizor_dagster.signals.sandbox import read_in_child
from scizor_dagster.signals.spec import ReadSpec
from scizor_dagster.signals.wire import Garbled, decode, encode
from tests.signals.builders import HEADER, NYSE, check, csv_file, entry, found, fractional

SPEC = ReadSpec("test", "csv", {name: name for name in HEADER.split(",")})
GOOD = f"{HEADER}\n2024-01-02,A,1\n".encode()
ENTRY = "from scizor_dagster.signals.child import main; main()"


def instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the child do something else than read, under the same limits."""
    setup = "import sys; sys.path.insert(0, sys.argv.pop(1)); import scizor_dagster.signals.child as c; "
    monkeypatch.setattr(sandbox, "_PROGRAM", f"{setup}c.limit_resources(); {code}")


def only_rule(reading: Reading) -> str:
    (item,) = reading.violations.kept
    assert item.problem
    assert item.remedy
    return item.rule


def test_a_million_rows_are_read_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is bounded is processor time and memory; how busy the machine is says nothing about the file.
    monkeypatch.setattr(sandbox, "TIMEOUT_SECONDS", 250.0)
    sessions = NYSE.sessions(NYSE.first, NYSE.last)[:2000]
    rows = (f"{day},T{number},0.0019{number:03}{at % 7}\n" for at, day in enumerate(sessions) for number in range(500))
    reading = read_in_child((HEADER + "\n" + "".join(rows)).encode(), SPEC)
    assert not reading.violations
    assert reading.count == 1_000_000


def test_a_file_that_takes_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "x = bytearray(600_000_000)")
    assert only_rule(read_in_child(GOOD, SPEC)) == "took_too_much_memory"


def test_a_file_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass")
    assert only_rule(read_in_child(GOOD, SPEC)) == "took_too_long"


def test_a_reader_that_does_not_answer_is_stopped_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = csv_file(tmp_path, "2024-01-02,A,1")
    with monkeypatch.context() as patch:
        instead(patch, "import threading; threading.Event().wait()")
        patch.setattr(sandbox, "TIMEOUT_SECONDS", 0.3)
        assert found(check(path)) == [("reader_did_not_answer", None)]
    assert check(path).accepted


@pytest.mark.parametrize(
    "code",
    [f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "sys.exit(3)", "print('SCZ1')", "1/0"],
)
def test_a_reader_that_dies_is_named_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    path = csv_file(tmp_path, "2024-01-02,A,1")
    with monkeypatch.context() as patch:
        instead(patch, code)
        assert found(check(path)) == [("reader_died", None)]
    assert check(path).accepted


def test_the_reader_has_no_secrets_and_writes_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APCA_API_SECRET_KEY", "secret")
    instead(monkeypatch, "import os; sys.exit(str(sorted(os.environ)))")
    assert "APCA" not in read_in_child(GOOD, SPEC).violations.kept[0].problem
    target = tmp_path / "written"
    instead(monkeypatch, f"open({str(target)!r}, 'w').write('x' * 10)")
    assert only_rule(read_in_child(GOOD, SPEC)) == "reader_died"
    assert target.stat().st_size == 0


def test_files_are_read_from_several_threads_at_once() -> None:
    readings: list[Reading] = []
    threads = [threading.Thread(target=lambda: readings.append(read_in_child(GOOD, SPEC))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reading.count for reading in readings] == [1] * 4


def test_a_small_file_loads_no_data_library(monkeypatch: pytest.MonkeyPatch) -> None:
    heavy = "{'pandas', 'numpy', 'pyarrow', 'pydantic', 'openpyxl', 'dagster'}"
    ending = f"import atexit, os; atexit.register(lambda: os.write(2, str({heavy} & set(sys.modules)).encode())); "
    setup = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    monkeypatch.setattr(sandbox, "_PROGRAM", setup + ending + ENTRY + "; sys.stdout.flush()")
    captured: list[bytes] = []
    exchange = sandbox._exchange
    monkeypatch.setattr(sandbox, "_exchange", lambda *given: _kept(exchange(*given), captured))
    assert read_in_child(GOOD, SPEC).count == 1
    assert captured == [b"set()"]


def _kept(pair: tuple[bytearray, bytearray], into: list[bytes]) -> tuple[bytearray, bytearray]:
    into.append(bytes(pair[1]))
    return pair


def test_a_reading_survives_the_wire_and_a_part_of_one_does_not() -> None:
    from scizor_dagster.signals.reading import read

    reading = read(GOOD + b"2024-01-02,B,x\n2024-01-03, C,0.25\n", SPEC)
    data = encode(reading)
    back = decode(data)
    assert back.violations == reading.violations
    assert back.warnings == reading.warnings
    assert back.rows is not None
    assert (list(back.rows.lines), back.rows.asset_ids, back.rows.weights) == ([2, 4], ["A", "C"], [1.0, 0.25])
    for length in (0, 3, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(Garbled):
            decode(data[:length])


def test_a_pipe_and_a_device_are_no_weight_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(WeightFileMissing, match="not a regular file"):
            check(path)


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / "link.csv"
    link.symlink_to(csv_file(tmp_path, "2024-01-02,A,1"))
    assert check_file(entry(Path("other.csv")), NYSE, WeightRules(), fractional(), link).accepted


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not count memory so")
def test_the_limits_are_those_that_are_stated() -> None:
    assert (child.MEMORY_BYTES, child.CPU_SECONDS) == (500_000_000, 10)
