"""The kernel as machine code: the same bits as its source, and no harm where it cannot be had."""

import builtins
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scizor_dagster.backtest.engine import ENTRY, PARTS
from scizor_dagster.errors import ScizorError
from scizor_dagster.planning import compiled
from scizor_dagster.planning.books import plan_book, prepare
from tests.planning.array_books import case_of

CODE = """
from tests.planning.test_compiled import load
from scizor_dagster.planning.books import plan_book, prepare
from tests.planning.array_books import case_of
assert load()
case = case_of(5_001)
book = prepare(case.instruments, case.rules, case.capabilities, currency=case.currency)
plan_book(book, case.weights, case.prices, case.counts, **case.session)
print(book.compiled, book.columns["trade"].tobytes().hex())
"""


def load():
    """In one piece with the loop of a backtest, as `make install` leaves it on disk: a backtest runs this very code.

    With SCIZOR_TORTURE alone, as a plan of many names compiles it, which takes half a minute.
    """
    if "SCIZOR_TORTURE" in os.environ:
        return compiled.load()
    return compiled.load(PARTS, (*compiled.ENTRIES, ENTRY))


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv(compiled.SWITCH, raising=False)
    monkeypatch.setattr(compiled, "_loaded", {})


def columns_after(case, monkeypatch, loaded):
    """Every column of a decided book, as bytes; None where the book is refused."""
    monkeypatch.setattr(compiled, "_loaded", loaded)
    monkeypatch.setenv(compiled.SWITCH, "python")
    book = prepare(case.instruments, case.rules, case.capabilities, currency=case.currency)
    assert book.compiled is bool(loaded)
    try:
        plan_book(book, case.weights, case.prices, case.counts, **case.session)
    except ScizorError:
        return None
    return {name: book.columns[name].tobytes() for name in book.columns}


@pytest.mark.timeout(900)
def test_compiled_and_as_it_stands_the_kernel_fills_every_column_with_the_same_bits(monkeypatch):
    assert load()
    loaded = dict(compiled._loaded)
    compared = 0
    for seed in range(5_000, 5_400):
        case = case_of(seed)
        by_machine, by_source = (columns_after(case, monkeypatch, found) for found in (loaded, {}))
        assert by_machine == by_source, seed
        compared += by_machine is not None
    assert compared > 300
    # Taken from disk, it is the same machine code.
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.delenv(compiled.SWITCH)
    assert load()
    assert load()
    case = case_of(5_001)
    by_source = columns_after(case, monkeypatch, {})
    assert columns_after(case, monkeypatch, dict(compiled._loaded)) == by_source
    monkeypatch.delenv(compiled.SWITCH)
    assert by_source is not None
    elsewhere = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=300)
    assert elsewhere.stdout.strip() == f"True {by_source['trade'].hex()}"


def test_the_switch_keeps_the_source_as_it_stands(monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, "python")
    assert not compiled.load()


def test_without_a_compiler_the_source_runs_as_it_stands(monkeypatch):
    def without(name, *rest, **others):
        if name == "numba":
            raise ImportError(name)
        return plain(name, *rest, **others)

    plain = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    assert not compiled.load()


@pytest.mark.parametrize("error", [ImportError, AttributeError])
def test_with_a_compiler_that_has_other_insides_the_source_runs_as_it_stands(monkeypatch, error):
    def without(name):
        if name == compiled.GLUE:
            raise error(name)
        return plain(name)

    plain = compiled.import_module
    monkeypatch.setattr(compiled, "import_module", without)
    assert not compiled.load()


def test_machine_code_lies_beside_the_source_else_in_the_users_cache_else_nowhere(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "code" / "compiled.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    beside = compiled.cache_folder()
    assert beside is not None
    assert beside.parent == tmp_path / "code" / "__pycache__"
    (tmp_path / "code").rename(tmp_path / "elsewhere")
    (tmp_path / "code").write_text("no folder")
    inside = compiled.cache_folder()
    assert inside is not None
    assert inside.parent == tmp_path / "cache" / "scizor"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "code"))
    assert compiled.cache_folder() is None
    assert not compiled.load()


def test_a_change_of_any_part_of_the_source_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    before = compiled.cache_folder()
    part = compiled._modules()[1]
    changed = tmp_path / "part.py"
    changed.write_text(Path(str(part.__file__)).read_text(encoding="utf-8") + "\n")
    monkeypatch.setattr(part, "__file__", str(changed))
    assert compiled.cache_folder() not in (before, None)
