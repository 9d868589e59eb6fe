"""The append-only history of everything that changed, each entry sealed by the one before it.

What belongs here: appending, with the rows that an entry changes, and checking the seals. What does not: what is
worth an entry (each writer says), and comparing the tables with the history (`verification`).

An entry is the only way to a row: `append` writes both, so that every table is what the history makes of
it. The lease alone is kept without one; it says who works now, not what happened.

The hash of an entry is SHA-256 over its fields and the hash before it, so that an entry edited,
inserted or removed shows at the next one. An end that is cut off shows in the rows that it changed; where those
are cut off too, it shows against a backup, which holds the last hash of its day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.changes import Change, apply, as_text
from scizor_dagster.ledger.tables import events

GENESIS = "0" * 64
# Built once: an order makes several entries, and building a statement costs more than running it.
_LAST = sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
_INSERT = events.insert()
_OF_ORDERS = sa.select(events.c.seq, events.c.at, events.c.kind, events.c.client_order_id, events.c.payload).where(
    events.c.client_order_id.in_(sa.bindparam("ids", expanding=True))
)
_AFTER = (
    sa.select(events.c.seq, events.c.at, events.c.kind, events.c.client_order_id, events.c.payload)
    .where(
        events.c.seq > sa.bindparam("seq"),
        events.c.account == sa.bindparam("account"),
        events.c.client_order_id.is_not(None),
    )
    .order_by(events.c.seq)
)
_CHUNK = 500
_SECRET = re.compile(r"(?i)secret|password|passwd|api_?key|authorization|credential")


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """What the history says of one order at one moment. `payload` holds plain JSON values: a decimal is its text."""

    seq: int
    at: datetime
    kind: str
    client_order_id: str
    payload: Mapping[str, Any]


def append(
    connection: sa.Connection,
    at: datetime,
    account: str,
    kind: str,
    payload: Mapping[str, Any],
    client_order_id: str | None = None,
    changes: Sequence[Change] = (),
) -> int:
    """Append one entry in the caller's write transaction, write its rows, and return its sequence number, from 1.

    `payload` maps names to plain values, decimals, dates or enumerations; it is stored as canonical JSON.

    Raises:
        LedgerError: a name in the payload speaks of a secret, or a row is no longer as its change expects it.
        TypeError: a value of the payload is none of these.
        sqlalchemy.exc.IntegrityError: a row to insert is there already.
    """
    _refuse_secrets(payload)
    apply(connection, changes)
    last = connection.execute(_LAST).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, GENESIS)
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)
    written = as_text(changes) if changes else None
    row = {
        "seq": seq,
        "at": at,
        "account": account,
        "client_order_id": client_order_id,
        "kind": kind,
        "payload": text,
        "changes": written,
        "previous_hash": previous,
        "hash": _hash(seq, at, account, client_order_id, kind, text, written, previous),
    }
    connection.execute(_INSERT, row)
    return int(seq)


def events_of_orders(connection: sa.Connection, client_order_ids: Collection[str]) -> list[OrderEvent]:
    """Every entry on these orders, oldest first. The fills of a bracket's exits stand under the order it protects."""
    names = sorted(client_order_ids)
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    rows = [row for chunk in chunks for row in connection.execute(_OF_ORDERS, {"ids": chunk})]
    found = [OrderEvent(row.seq, row.at, row.kind, row.client_order_id, json.loads(row.payload)) for row in rows]
    return sorted(found, key=lambda entry: entry.seq)


def last_seq(connection: sa.Connection) -> int:
    """The number of the newest entry; 0 where there is none."""
    last = connection.execute(_LAST).first()
    return int(last.seq) if last else 0


def order_events_after(connection: sa.Connection, account: str, seq: int) -> list[OrderEvent]:
    """Every entry on an order of the account that is newer than entry `seq`, oldest first."""
    rows = connection.execute(_AFTER, {"account": account, "seq": seq})
    return [OrderEvent(row.seq, row.at, row.kind, row.client_order_id, json.loads(row.payload)) for row in rows]


def verify_chain(connection: sa.Connection) -> list[str]:
    """Check every entry; empty when the chain is whole, else one sentence naming the first broken row."""
    previous, expected = GENESIS, 1
    for row in connection.execute(sa.select(events).order_by(events.c.seq)):
        if row.seq != expected:
            return [f"Event {expected} is missing: the next one in the ledger is {row.seq}."]
        if row.previous_hash != previous:
            return [f"Event {row.seq} does not follow from the one before it."]
        if row.hash != _hash(
            row.seq, row.at, row.account, row.client_order_id, row.kind, row.payload, row.changes, row.previous_hash
        ):
            return [f"Event {row.seq} ({row.kind}) was changed after it was written."]
        previous, expected = row.hash, expected + 1
    return []


def _hash(
    seq: int,
    at: datetime,
    account: str,
    client_order_id: str | None,
    kind: str,
    payload: str,
    changes: str | None,
    previous: str,
) -> str:
    fields = [seq, at.astimezone(UTC).isoformat(), account, client_order_id, kind, payload, previous]
    # An entry without rows is sealed as those of the first versions, which had none.
    fields += [changes] if changes is not None else []
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{value!r} is no value that the history keeps.")


def _refuse_secrets(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _SECRET.search(str(key)):
                raise LedgerError(
                    f"An event's field '{key}' looks like a secret.",
                    remedy="Leave it out: events are kept for ever.",
                )
            _refuse_secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_secrets(item)
