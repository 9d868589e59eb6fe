"""Where strategies come from: those that come along, installed packages, and a folder of files.

What belongs here: names, finding and importing. What does not: reading what was imported (`definition`).

Listing names imports nothing; a strategy is imported when it is asked for, so that one that is broken stops no other. A
file is executed anew when its text has changed, and what is executed is the text that its version is made of.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from scizor_dagster.errors import ConfigError, ScizorError
from scizor_dagster.strategies.definition import Definition, definition_of
from scizor_dagster.strategies.names import SHIPPED

GROUP = "scizor.strategies"
_SHIPPED = "scizor_dagster.strategies.shipped"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_Loader = Callable[[], Definition]


@dataclass(frozen=True, slots=True)
class Listed:
    """A name and what stands behind it: either a definition, or why there is none."""

    name: str
    origin: str
    definition: Definition | None
    problem: str = ""


class Registry:
    """Every strategy by its name.

    Args:
        folder: Folder of `*.py` files, one strategy each, called as its file; it need not exist. Names that begin with
            `_` are left out.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """All names, ascending; those that cannot be loaded among them."""
        return tuple(sorted(self._places()))

    def find(self, name: str) -> Definition:
        """The strategy of this name.

        Raises:
            ConfigError: there is none, two have the name, or its code cannot be loaded: with file and line.
        """
        places = self._places().get(name)
        if places is None:
            raise ConfigError(
                f"There is no strategy '{name}'.",
                remedy=f"Use one of: {', '.join(self.names())}.",
                where=str(self.folder) if self.folder is not None else None,
            )
        if len(places) > 1:
            raise ConfigError(
                f"The name '{name}' is taken more than once: {', '.join(where for where, _ in places)}.",
                remedy="Rename your own.",
                where=places[-1][0],
            )
        return places[0][1]()

    def listed(self) -> list[Listed]:
        """Every strategy, loaded; one that is broken with the reason."""
        found = []
        for name, places in sorted(self._places().items()):
            origin = places[0][0].partition(" ")[0]
            try:
                found.append(Listed(name, origin, self.find(name)))
            except ScizorError as error:
                found.append(Listed(name, origin, None, str(error)))
        return found

    def _places(self) -> dict[str, list[tuple[str, _Loader]]]:
        """What each name may stand for, with where that is."""
        places: dict[str, list[tuple[str, _Loader]]] = {}
        for name in SHIPPED:
            places.setdefault(name, []).append(("shipped with Scizor", lambda name=name: _shipped(name)))  # type: ignore[misc]
        for entry in importlib.metadata.entry_points(group=GROUP):
            place = f"package {entry.dist.name if entry.dist else ''} ({entry.value})"
            places.setdefault(entry.name, []).append((place, lambda entry=entry: _installed(entry)))  # type: ignore[misc]
        for path in self._files():
            places.setdefault(path.stem, []).append((f"file {path}", lambda path=path: _of_file(path)))  # type: ignore[misc]
        return places

    def _files(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.glob("*.py") if not path.name.startswith("_") and path.is_file())


def _shipped(name: str) -> Definition:
    return definition_of(importlib.import_module(f"{_SHIPPED}.{name}"), name, "shipped")


def _installed(entry: importlib.metadata.EntryPoint) -> Definition:
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"The strategy '{entry.name}' of an installed package cannot be imported: {type(error).__name__}: {error}.",
            remedy="Mend or uninstall the package; the other strategies are not affected.",
            where=f"entry point {entry.value}",
        ) from error
    return definition_of(found, entry.name, "package")


_executed: dict[Path, tuple[str, ModuleType]] = {}


def _of_file(path: Path) -> Definition:
    if not _NAME.fullmatch(path.stem):
        raise ConfigError(
            f"'{path.stem}' is no name of a strategy.",
            remedy="Name the file with lower-case letters, digits and '_', at most 31 of them.",
            where=str(path),
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The file cannot be read: {error}.", remedy="Mend the file.", where=str(path)) from error
    known = _executed.get(path)
    if known is None or known[0] != text:
        _executed[path] = (text, _execute(path, text))
    return replace(definition_of(_executed[path][1], path.stem, "file", text), reload=lambda: _anew(path, text))


def _anew(path: Path, text: str) -> Definition:
    return definition_of(_execute(path, text), path.stem, "file", text)


def _execute(path: Path, text: str) -> ModuleType:
    module = ModuleType(f"scizor_strategies.{path.stem}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    # Pydantic and dataclasses look a model's module up to resolve its annotations.
    sys.modules[module.__name__] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102 - running the user's own code is the purpose
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise ConfigError(
            f"The strategy cannot be loaded: {type(error).__name__}: {error}.",
            remedy="Mend the file; the other strategies are not affected.",
            where=f"{path}:{line_in(error, path)}",
        ) from error
    return module


def line_in(error: BaseException, path: Path) -> int:
    """The last line of a file that an exception went through, or that its syntax error is on; 1 if neither is known."""
    if isinstance(error, SyntaxError) and error.filename == str(path) and error.lineno:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] or 1 if lines else 1
