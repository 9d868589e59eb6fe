"""Strategy code that came from outside, as text by its hash, and who said that it may run.

What belongs here: writing and reading the rows. What does not: running it (`flow.strategy_code`), and strategies of the
project's own folder (`strategy_records`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import inserted
from scizor_dagster.ledger.strategy_tables import strategy_code, strategy_code_verdicts


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One text; `code_hash` is the SHA-256 of `source` in UTF-8."""

    code_hash: str
    name: str
    source: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CodeVerdict:
    """Whether a code may run from then on, who said so, and why."""

    number: int
    code_hash: str
    approved: bool
    actor: str
    reason: str
    at: datetime


def note_code(connection: sa.Connection, row: CodeRow) -> CodeRow:
    """Keep a code; one that is known stays as it first came, and is the answer."""
    known = connection.execute(sa.select(strategy_code).where(strategy_code.c.code_hash == row.code_hash)).first()
    if known is not None:
        return CodeRow(**known._mapping)
    told = {"code_hash": row.code_hash, "name": row.name, "actor": row.actor, "reason": row.reason}
    events.append(connection, row.at, "", "strategy_code", told, changes=[inserted(strategy_code, asdict(row))])
    return row


def codes_of(connection: sa.Connection) -> list[CodeRow]:
    """Every code, as it came, oldest first."""
    found = connection.execute(sa.select(strategy_code).order_by(strategy_code.c.at, strategy_code.c.code_hash))
    return [CodeRow(**row._mapping) for row in found]


def code_named(connection: sa.Connection, code_hash: str) -> CodeRow:
    """The code whose hash begins so, with at least 12 digits.

    Raises:
        InputError: there is none; or the digits are too few.
    """
    found = [row for row in codes_of(connection) if row.code_hash.startswith(code_hash.lower())]
    if len(code_hash) < 12 or not found:
        problem = f"There is no strategy code '{code_hash}'."
        raise InputError(problem, remedy="Write at least 12 digits of its hash: scizor strategy list-code.")
    return found[0]


def verdicts_of(connection: sa.Connection, code_hash: str) -> list[CodeVerdict]:
    """What was said of a code, newest first."""
    mine = strategy_code_verdicts.c.code_hash == code_hash
    chosen = sa.select(strategy_code_verdicts).where(mine).order_by(strategy_code_verdicts.c.number.desc())
    return [CodeVerdict(**row._mapping) for row in connection.execute(chosen)]


def is_approved(connection: sa.Connection, code_hash: str) -> bool:
    """Whether the last word on a code is that it may run."""
    said = verdicts_of(connection, code_hash)
    return bool(said) and said[0].approved


def judge_code(
    connection: sa.Connection, code_hash: str, *, approved: bool, actor: str, reason: str, now: datetime
) -> CodeVerdict:
    """Say whether a code may run, with an event.

    Raises:
        InputError: there is no such code.
        LedgerError: there is no reason; or it is so already.
    """
    code = code_named(connection, code_hash)
    if not reason.strip():
        raise LedgerError("A verdict on strategy code needs a reason.", remedy="Give one: --reason TEXT.")
    if is_approved(connection, code.code_hash) is approved:
        word = "approved already" if approved else "not approved"
        problem = f"Strategy code {code.code_hash[:12]} is {word}."
        raise LedgerError(problem, remedy="Nothing was changed. See: scizor strategy list-code.")
    last = connection.execute(sa.select(sa.func.max(strategy_code_verdicts.c.number))).scalar() or 0
    made = CodeVerdict(last + 1, code.code_hash, approved, actor, reason, now)
    told = {name: value for name, value in asdict(made).items() if name != "at"}
    changes = [inserted(strategy_code_verdicts, asdict(made))]
    events.append(connection, now, "", "strategy_code_verdict", told, changes=changes)
    return made
