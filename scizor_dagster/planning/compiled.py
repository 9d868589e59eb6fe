"""The kernel as machine code, where that can be had: the same source, compiled once and kept on disk.

What belongs here: finding, compiling and keeping. What does not: a line of the kernel (`kernel_book` and its parts).

A single plan calls the kernel as it stands, on lists: for some thousand names that takes less time than importing a
compiler. `books` calls it compiled, session after session.

The machine code lies in a folder named by the digest of the whole source, because the compiler itself looks for
changes in one file of it only. Where there is no compiler or no place to write, the source runs as it stands.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

PARTS = tuple(
    f"scizor_dagster.planning.kernel_{name}" for name in ("model", "plain", "room", "rows", "turnover", "fit", "book")
)
"""Modules of the kernel, each after those that it calls."""
GLUE = "scizor_dagster.planning.compiled_rows"
"""What the compiler is told of a book's columns."""
_BESIDE = ("cell_columns", "compiled_rows", "model", "quantities")
_GLUED = tuple(Path(__file__).with_name(f"{name}.py") for name in _BESIDE)
"""Sources beside the parts whose constants and layout are in the machine code."""
ENTRIES = ("decide_book", "hold_laws")
"""What is called from outside."""
SMALL = 350
"""Bytes of bytecode below which a function becomes part of those that call it: a fifth faster."""
SWITCH = "SCIZOR_KERNEL"
"""Environment variable: `python` runs the source as it stands, always."""

Function = Callable[..., Any]
_loaded: dict[str, Function] = {}


def function(name: str) -> Function:
    """An entry, compiled; `load` has to be called first, and to succeed."""
    return _loaded[name]


def load(parts: Sequence[str] = PARTS, entries: Sequence[str] = ENTRIES) -> bool:
    """Compile the kernel, or take it from disk, for this process; whether it is compiled now.

    Args:
        parts: Modules, each after those that it calls: the kernel's, and what is built around it.
        entries: What is called from outside.
    """
    if all(entry in _loaded for entry in entries):
        return True
    folder = None if os.environ.get(SWITCH) == "python" else cache_folder(parts)
    if folder is None:
        return False
    try:
        import numba

        import_module(GLUE)
    except (ImportError, AttributeError):
        # The columns rest on the insides of the compiler, which another release of it may not have.
        return False
    _loaded.update(_compiled(numba, folder, parts, entries))
    return True


def cache_folder(parts: Sequence[str] = PARTS) -> Path | None:
    """A folder for the machine code of this very source that can be written to; None where there is none."""
    files = (*(Path(str(module.__file__)) for module in _modules(parts)), *_GLUED)
    sources = "".join(file.read_text(encoding="utf-8") for file in files)
    name = f"kernel-{hashlib.sha256(sources.encode()).hexdigest()[:16]}"
    own = Path(__file__).parent / "__pycache__"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scizor"
    for parent in (own, home):
        try:
            (parent / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=parent / name):
                return parent / name
        except OSError:
            continue
    return None


def _compiled(numba: Any, folder: Path, parts: Sequence[str], entries: Sequence[str]) -> dict[str, Function]:
    """Copies of all functions of the kernel whose names for one another mean the compiled ones."""
    made: dict[Any, Function] = {}
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        for module in _modules(parts):
            names = dict(vars(module))
            for name, item in vars(module).items():
                if isinstance(item, FunctionType) and item not in made:
                    copy = FunctionType(item.__code__, names, name)
                    copy.__module__ = module.__name__
                    small = len(item.__code__.co_code) < SMALL
                    # What is only called from within needs no door for Python.
                    called = name not in entries
                    made[item] = numba.njit(
                        cache=not called, error_model="numpy", forceinline=small, no_cpython_wrapper=called,
                        no_cfunc_wrapper=called,
                    )(copy)  # fmt: skip
                if isinstance(item, FunctionType):
                    names[name] = made[item]
    finally:
        numba.config.CACHE_DIR = before
    return {item.__name__: dispatcher for item, dispatcher in made.items() if item.__name__ in entries}


def _modules(parts: Sequence[str] = PARTS) -> tuple[ModuleType, ...]:
    return tuple(import_module(name) for name in parts)
