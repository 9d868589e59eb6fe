"""Keys: making one, and telling whom a text that was shown stands for.

What belongs here: the form of a key and its digest. What does not: its row (`ledger.api_keys`), and what it opens
(`security`).

A key is `scz_<12 digits>_<64 digits>`, hexadecimal: the first part names its row, the second is 256 bits of chance.
The row holds SHA-256 of the whole. A slow hash would protect what people think up; nobody guesses 256 bits, and a fast
one costs each request nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from scizor_dagster.ledger.api_keys import ApiKey, Scope, key_of

_FORM = re.compile(r"scz_([0-9a-f]{12})_([0-9a-f]{64})")
_NOBODY = "0" * 64


def new_key(
    actor: str,
    scopes: Iterable[Scope],
    accounts: Iterable[str] | None,
    *,
    created_by: str,
    now: datetime,
    expires_at: datetime,
) -> tuple[str, ApiKey]:
    """The text to show once, and the row to store."""
    key_id = secrets.token_hex(6)
    text = f"scz_{key_id}_{secrets.token_hex(32)}"
    bound = frozenset(accounts) if accounts is not None else None
    return text, ApiKey(key_id, digest_of(text), actor, frozenset(scopes), bound, now, created_by, expires_at)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hides_key(text: str) -> bool:
    """Whether a text that would be kept has a key in it."""
    return _FORM.search(text) is not None


def key_shown(connection: sa.Connection, text: str) -> ApiKey | None:
    """The stored key that the text is; it may be revoked or expired. None where it is none."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    found = key_of(connection, form.group(1))
    # Compared also where there is no such row, so that the time taken says nothing of it.
    same = hmac.compare_digest(digest_of(text), found.digest if found is not None else _NOBODY)
    return found if found is not None and same else None
