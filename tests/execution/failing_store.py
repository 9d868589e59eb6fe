"""Commits that fail at a chosen number, as a disk, a file system or a neighbour makes them fail.

What belongs here: ledgers whose transactions end badly. What does not: what must hold then (`test_failing_disk`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import sqlalchemy as sa

from scizor_dagster.ledger.store import Ledger, translated


class Failure(StrEnum):
    FULL = "database or disk is full"
    FSYNC = "disk I/O error"
    BUSY = "database is locked"
    READ_ONLY = "attempt to write a readonly database"
    NO_HANDLE = "unable to open database file"
    MALFORMED = "database disk image is malformed"
    DURABLE_ALL_THE_SAME = "disk I/O error in the end"
    """The commit is durable, and says that it has failed."""


class FailingLedger(Ledger):
    """A ledger whose commit number `at` (from 1) fails, and with `lasting` each one after it.

    The error is the driver's own and is raised where the driver raises it: in COMMIT, or in BEGIN for `BUSY` and
    `NO_HANDLE`, so that what turns it into an error of the project is that of every day.
    """

    at = 0
    failure = Failure.FULL
    lasting = False
    commits = 0
    failed = 0

    def arm(self, at: int, failure: Failure, *, lasting: bool) -> None:
        self.at, self.failure, self.lasting, self.commits, self.failed = at, failure, lasting, 0, 0

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        self.commits += 1
        due = 0 < self.at <= self.commits if self.lasting else self.commits == self.at
        if not due:
            with super().transaction() as connection:
                yield connection
            return
        self.failed += 1
        with translated(self._backend), self.engine.connect() as connection, connection.begin() as begun:
            if self.failure in (Failure.BUSY, Failure.NO_HANDLE):
                raise _of_the_driver(self.failure)
            yield connection
            if self.failure is Failure.DURABLE_ALL_THE_SAME:
                begun.commit()
            raise _of_the_driver(self.failure)


def _of_the_driver(failure: Failure) -> sa.exc.DBAPIError:
    kind = sqlite3.DatabaseError if failure is Failure.MALFORMED else sqlite3.OperationalError
    made = sa.exc.DBAPIError.instance("COMMIT", None, kind(failure.value), sqlite3.Error)
    assert isinstance(made, sa.exc.DBAPIError)
    return made
