"""Keys that were looked up a moment ago, so that the next request of the same key need not look into the ledger.

What belongs here: how long a row may be believed. What does not: what a key opens (`security`), its form (`keys`).

A row is believed as long as the files of the ledger show that nothing at all was written to it since before it was
read: a key that is revoked, by whatever process, opens nothing from the very next request on. A ledger on a server has
no files, and none of its rows is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scizor_dagster.api.keys import digest_of
from scizor_dagster.file_marks import Mark, is_settled, mark_of, sqlite_files
from scizor_dagster.ledger.api_keys import ApiKey


class KeptKeys:
    """Rows by the digest of their keys. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[Path, ...], Mark, Mapping[str, ApiKey]] = ((), (), {})

    def of(self, text: str) -> ApiKey | None:
        """The row of the key `text`; None where it would have to be looked up. Asks nobody."""
        files, mark, rows = self._kept
        found = rows.get(digest_of(text))
        return found if found is not None and mark_of(files) == mark else None

    def looked_up(self, ledger: Path | None, look: Callable[[], ApiKey | None]) -> ApiKey | None:
        """What `look` finds in the ledger of that file; it is kept where that may be believed."""
        files = sqlite_files(ledger) if ledger is not None else ()
        now, mark = time.time_ns(), mark_of(files)
        found = look()
        if found is not None and files and is_settled(mark, now):
            _, before, rows = self._kept
            # One that two threads keep at once is kept by one of them: the other is looked up again.
            self._kept = (files, mark, {**(rows if before == mark else {}), found.digest: found})
        return found
