"""What a ledger needs of the database that it lies in.

What belongs here: the one protocol that `sqlite` and `postgres` fulfil. What does not: anything that holds for both
(`store`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

import sqlalchemy as sa

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for its turn before it says so."""
ACCESS = "scizor_access"
"""Execution option of a connection: what its transactions are for. They write unless it is set."""
READ = "read"
OUTSIDE = "outside"
"""Neither reads nor writes rows: a session that only holds a lock."""
Synchronous = Literal["FULL", "OFF"]


UNBOUNDED = -1
"""Connections beyond those that a pool keeps open: one for each thread that asks. A thread that waited for another's
connection would wait for that one's locks too, a halt among them, and in the end get neither."""


class Backend(Protocol):
    """One database."""

    @property
    def place(self) -> str:
        """Where it is, for errors and reports; never a secret."""

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""

    @property
    def remedy(self) -> str:
        """What to do when it cannot be used."""

    @property
    def exists(self) -> bool:
        """Whether the database has been used as a ledger before; asking creates nothing."""

    def create_engine(self) -> sa.Engine:
        """An engine whose transactions take the ledger's write lock at once, unless their `ACCESS` says otherwise.

        The commit of one is durable when it returns, and no wait in it is without end.
        """

    def migrating(self, engine: sa.Engine) -> AbstractContextManager[None]:
        """What has to hold around a migration, beside the write lock that it runs under.

        Raises:
            LedgerError: another process has been migrating for too long.
        """

    def prepare(self, connection: sa.Connection) -> None:
        """Make room for the first table, in the transaction that migrates."""

    def unhurried(self, connection: sa.Connection) -> None:
        """Let this transaction compute between its statements, and each of them take as long as the history is long."""

    def check(self, connection: sa.Connection) -> None:
        """Refuse a server that cannot keep a ledger.

        Raises:
            LedgerError: it is too old, only for reading, or gives up durability.
        """

    def before_commit(self, connection: sa.Connection) -> None:
        """Refuse to commit what the database would not store.

        Raises:
            LedgerError: a statement of the transaction has failed, and the caller went on.
        """

    def process_lock(self, engine: sa.Engine, name: str) -> AbstractContextManager[bool]:
        """Try for a lock that dies with this process; the block is told whether it was had."""
