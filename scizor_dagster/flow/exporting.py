"""The files of a session: read from the stores at one instant, written whole.

What belongs here: which files there are, and getting them to their folder. What does not: reading (`export_facts`),
columns and rows (`exports`), bytes (`tabular`).

The ledger is read first: every plan that it has admitted is in the lake by then. Nothing is locked and nobody waits;
while a session trades, its files are those of the moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from scizor_dagster.errors import DataError, InputError, ScizorError
from scizor_dagster.exports.catalogue import FILES, NAMES, ExportFile, Format, contents
from scizor_dagster.exports.facts import SessionFacts
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.export_facts import read_facts
from scizor_dagster.tabular.whole_files import write_whole

_SHOWN = 5


@dataclass(frozen=True)
class Exported:
    """What one call has written.

    Attributes:
        files: Paths by their name under the folder.
        missing: By session, the files that there are none of yet, each with the reason.
        removed: Names that an earlier call had left, and of which there is none any more.
        left: Names under the folder that look like ours and were not written by this call.
    """

    folder: Path
    files: Mapping[str, Path]
    missing: Mapping[date, Mapping[str, str]]
    removed: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is not as one may think."""
        sessions: dict[tuple[str, str], list[date]] = {}
        for session, files in self.missing.items():
            for why in dict.fromkeys(files.values()):
                names = ", ".join(name for name, reason in files.items() if reason == why)
                sessions.setdefault((why, names), []).append(session)
        said = [f"{_days(days)}: {why}, so that there is no {names}." for (why, names), days in sessions.items()]
        if self.removed:
            said.append(f"Removed, as of an earlier export: {', '.join(self.removed)}.")
        if self.left:
            said.append(f"Not of this export, and left as it is: {', '.join(self.left)}.")
        return tuple(said)


@dataclass
class _Task:
    """The export under way, and what it finds out."""

    portfolio: str
    formats: tuple[Format, ...]
    files: tuple[ExportFile, ...]
    per_session: bool
    missing: dict[date, dict[str, str]] = field(default_factory=dict)

    def place(self, session: date, name: str) -> str:
        return f"{session}/{name}" if self.per_session else name

    def names(self, session: date) -> Iterator[tuple[ExportFile, str]]:
        for file in self.files:
            for name in file.file_names(session, self.formats):
                yield file, self.place(session, name)


def export_sessions(
    desk: Desk,
    portfolio: str,
    sessions: Sequence[date],
    folder: Path,
    *,
    formats: Sequence[Format] = (Format.CSV,),
    only: Sequence[str] = (),
    per_session: bool = False,
) -> Exported:
    """Write the files of the sessions, all of them or none.

    Args:
        desk: Its stores are read.
        portfolio: Whose sessions.
        sessions: In ascending order. One of which nothing is known is passed over, where there are several.
        folder: Where the files go.
        formats: Of the tables; a text is a text in each.
        only: Names of `exports.catalogue`; empty for all.
        per_session: Whether each session has a folder of its own in `folder`, named by its date.

    Raises:
        InputError: a name that is none, or a folder that cannot be written to.
        DataError: nothing is stored of any of the sessions.
    """
    unknown = [name for name in only if name not in NAMES]
    if unknown:
        raise InputError(
            f"There is no file {', '.join(unknown)}.", remedy=f"Name some of: {', '.join(NAMES)}.", where="--only"
        )
    files = tuple(file for file in FILES if not only or file.name in only)
    task = _Task(portfolio, tuple(dict.fromkeys(formats)), files, per_session)
    if not desk.has_lake:
        raise _nothing(portfolio, sessions)
    written = dict[str, bytes]()
    with ExitStack() as stack:
        ledger = stack.enter_context(desk.ledger.read()) if desk.has_ledger else None
        lake = stack.enter_context(desk.lake.pinned())
        written = {
            name: content
            for facts in read_facts(desk, portfolio, sessions, ledger, lake)
            for name, content in _contents(task, facts)
        }
    if not written:
        raise _nothing(portfolio, sessions)
    obsolete = [name for session in task.missing for _, name in task.names(session) if name not in written]
    removed = tuple(name for name in obsolete if (folder / name).is_file())
    paths = write_whole(
        written.items(),
        folder,
        what="The export",
        remedy="Name a folder that can be written to with --out.",
        obsolete=removed,
    )
    return Exported(folder, paths, task.missing, removed, _left(task, folder, written))


def _contents(task: _Task, facts: SessionFacts) -> Iterator[tuple[str, bytes]]:
    made = {file.name: list(contents(file, facts, task.formats)) for file in task.files}
    task.missing[facts.session] = {file.name: file.missing for file in task.files if not made[file.name]}
    for parts in made.values():
        for name, content in parts:
            yield task.place(facts.session, name), content


def export_as_configured(desk: Desk, portfolio: str, session: date) -> str:
    """Write the session's files to the folder of the section `exports`, where there is one.

    Returns:
        What went wrong, as a sentence; empty where all is well. No trouble with a file is one of the session.
    """
    rules = desk.config.exports
    if rules.folder is None:
        return ""
    folder = desk.config.folder / rules.folder / portfolio / session.isoformat()
    try:
        export_sessions(desk, portfolio, [session], folder, formats=[Format(name) for name in rules.formats])
    except ScizorError as error:
        return str(error)
    except Exception as error:
        return f"The files of the session cannot be made ({type(error).__name__}: {error})."
    return ""


def _days(days: Sequence[date]) -> str:
    shown = ", ".join(map(str, days[:_SHOWN]))
    return shown if len(days) <= _SHOWN else f"{shown} and {len(days) - _SHOWN} more sessions"


def _left(task: _Task, folder: Path, written: Mapping[str, bytes]) -> tuple[str, ...]:
    """What looks like ours beside what was written, and may be of another session or call."""
    every = _Task(task.portfolio, tuple(Format), FILES, task.per_session)
    names = dict.fromkeys(name for session in task.missing for _, name in every.names(session))
    return tuple(name for name in names if name not in written and (folder / name).is_file())


def _nothing(portfolio: str, sessions: Sequence[date]) -> DataError:
    when = f"{sessions[0]}" if len(sessions) == 1 else f"{sessions[0]} to {sessions[-1]}"
    return DataError(
        f"Nothing is stored of {when} that these files tell of.",
        remedy=f"Run the session first: scizor run --portfolio {portfolio} --date {sessions[-1]}.",
        where=f"portfolio {portfolio}",
    )
