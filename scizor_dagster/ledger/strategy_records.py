"""Named strategies with their parameters, the versions that they have had, and the weights that each version made.

What belongs here: writing and reading the rows. What does not: what a version is made of (`strategies.definition`), and
which strategies trade (`strategies`).

These are facts that nothing can rebuild: a function that was changed is gone from its file. Nothing is ever taken away;
a record that was deleted has a last row that says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.strategy_tables import computed_weights, strategy_records, strategy_versions


class RecordAction(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A function as it was, with its parameters. `version` is the SHA-256 of all the others but the last."""

    version: str
    function: str
    source: str
    parameters: str
    rebalance: str
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One change of a named strategy; `version` is what it is from then on, or was last."""

    number: int
    name: str
    action: RecordAction
    version: str
    description: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ComputedRow:
    """The file with one session's weights that a version made of the closes up to `priced_on`."""

    strategy: str
    session: date
    file_hash: str
    version: str
    priced_on: date
    lake_snapshot: int
    path: str
    made_at: datetime


def note_version(connection: sa.Connection, account: str, row: VersionRow) -> None:
    """Keep a version; one that is known stays as it was first seen."""
    if version_of(connection, row.version) is None:
        payload = {"version": row.version, "function": row.function}
        change = inserted(strategy_versions, asdict(row))
        events.append(connection, row.first_seen, account, "strategy_version", payload, changes=[change])


def version_of(connection: sa.Connection, version: str) -> VersionRow | None:
    found = connection.execute(sa.select(strategy_versions).where(strategy_versions.c.version == version)).first()
    return VersionRow(**found._mapping) if found is not None else None


def change_record(
    connection: sa.Connection,
    name: str,
    action: RecordAction,
    version: str,
    *,
    description: str,
    actor: str,
    reason: str,
    now: datetime,
) -> RecordRow:
    """Add a row, with an event.

    Raises:
        LedgerError: there is no reason; or the action does not lead from what the record is: one that is there is not
            created, one that is not there neither updated nor deleted, and none updated to what it is.
    """
    if not reason.strip():
        raise LedgerError("A change of a strategy's record needs a reason.", remedy="Give one: --reason TEXT.")
    before = live_records(connection).get(name)
    if (before is None) != (action is RecordAction.CREATED):
        problem = f"There is {'a' if before is not None else 'no'} record '{name}'."
        raise LedgerError(problem, remedy="Nothing was changed. See: scizor strategy list.")
    if action is RecordAction.UPDATED and before is not None and _same(before, version, description):
        raise LedgerError(
            f"Record '{name}' is this version already, {version[:12]}.",
            remedy="Nothing was changed. See: scizor strategy show.",
        )
    last = connection.execute(sa.select(sa.func.max(strategy_records.c.number))).scalar() or 0
    made = RecordRow(last + 1, name, action, version, description, actor, reason, now)
    values = asdict(made) | {"action": action.value}
    payload = {key: value for key, value in values.items() if key != "at"}
    events.append(connection, now, "", "strategy_record", payload, changes=[inserted(strategy_records, values)])
    return made


def _same(before: RecordRow, version: str, description: str) -> bool:
    return (before.version, before.description) == (version, description)


def record_history(connection: sa.Connection, name: str | None = None) -> list[RecordRow]:
    """Every change of one record or of all, oldest first."""
    chosen = sa.select(strategy_records).order_by(strategy_records.c.number)
    rows = connection.execute(chosen if name is None else chosen.where(strategy_records.c.name == name))
    return [RecordRow(**{**row._mapping, "action": RecordAction(row.action)}) for row in rows]


def live_records(connection: sa.Connection) -> dict[str, RecordRow]:
    """The newest row of each record that is not deleted, by name."""
    newest = {row.name: row for row in record_history(connection)}
    return {name: newest[name] for name in sorted(newest) if newest[name].action is not RecordAction.DELETED}


def note_computed(connection: sa.Connection, account: str, row: ComputedRow) -> None:
    """Keep which version made which weights; the same again is no other fact."""
    key = ("strategy", "session", "file_hash", "version")
    mine = (computed_weights.c[name] == getattr(row, name) for name in key)
    if connection.execute(sa.select(computed_weights.c.strategy).where(*mine)).first() is None:
        payload = {name: getattr(row, name) for name in key}
        change = inserted(computed_weights, asdict(row))
        events.append(connection, row.made_at, account, "weights_computed", payload, changes=[change])


def computed_of(connection: sa.Connection, strategy: str, file_hash: str) -> list[ComputedRow]:
    """What is known of the making of a content, newest first; empty where it was delivered."""
    mine = (computed_weights.c.strategy == strategy, computed_weights.c.file_hash == file_hash)
    found = connection.execute(sa.select(computed_weights).where(*mine).order_by(computed_weights.c.made_at.desc()))
    return [ComputedRow(**row._mapping) for row in found]
