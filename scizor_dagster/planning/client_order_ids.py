"""Client order ids: what makes an order the same order, however often it is made.

What belongs here: the one function from account, session, portfolio, plan and leg to an id, and what can be read
from one. What does not: looking ids up or storing them (`ledger`, `brokers`).

An id reads `SCZ_20250829_1_AAPL_B_3f9c02a41be7`: prefix, session, batch, symbol, side, digest. The
digest tells apart portfolios, plans, legs and slices; it has 48 bits, within one symbol, side and day.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date

from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError

MAX_LENGTH = 48
DIGEST_LENGTH = 12
_SIDES = {Side.BUY: ("buy", "B"), Side.SELL: ("sell", "S")}
_FOREIGN = re.compile(r"[^A-Za-z0-9.\-]")
_ID = re.compile(r"(?P<prefix>[A-Za-z0-9]{1,6})_(?P<session>[0-9]{8})_(?P<batch>[0-9]{1,18})_.+_[BS]_[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class IdParts:
    """What an id says of its order."""

    prefix: str
    session: date
    batch: int


def parse_id(client_order_id: str) -> IdParts | None:
    """Prefix, session and batch of an id that a plan made; None for any other."""
    found = _ID.fullmatch(client_order_id)
    if found is None:
        return None
    try:
        session = date.fromisoformat(found["session"])
    except ValueError:
        return None
    return IdParts(found["prefix"], session, int(found["batch"]))


class ClientOrderIds:
    """Makes the ids of one plan: a pure function of what it is given.

    Args:
        prefix: At most 6 letters or digits.
        account: Name of the account in the configuration.
        session: Session that the plan trades in.
        portfolio: Name of the portfolio.
        plan_id: Digest of the plan's inputs, so that ids change with a new plan only.
        batch: Number of the plan within account, portfolio and session.
        max_length: What the broker takes, where that is less than 48.

    Raises:
        InputError: the broker takes fewer characters than an id needs.
    """

    def __init__(
        self,
        prefix: str,
        *,
        account: str,
        session: date,
        portfolio: str,
        plan_id: str,
        batch: int,
        max_length: int = MAX_LENGTH,
    ) -> None:
        self._head = f"{prefix}_{session:%Y%m%d}_{batch}_"
        self._room = min(max_length, MAX_LENGTH) - len(self._head) - len("_B_") - DIGEST_LENGTH
        if self._room < 1:
            raise InputError(
                f"A client order id of {max_length} characters cannot hold '{self._head}', a symbol, "
                f"a side and {DIGEST_LENGTH} characters of digest.",
                remedy="Use a shorter idempotency.client_order_id_prefix or a lower batch number.",
            )
        scope = "\x1f".join((account, session.isoformat(), portfolio, plan_id, str(batch)))
        self._hash = hashlib.sha256(scope.encode())

    def make(self, symbol: str, side: Side, leg: int, piece: int) -> str:
        """The id of slice `piece` of leg `leg`: at most 48 characters of `[A-Za-z0-9_.-]`."""
        word, letter = _SIDES[side]
        digest = self._hash.copy()
        digest.update(f"\x1f{symbol}\x1f{word}\x1f{leg}\x1f{piece}".encode())
        tail = digest.hexdigest()[:DIGEST_LENGTH]
        name = symbol if symbol.isalnum() and symbol.isascii() else _FOREIGN.sub("-", symbol)
        return f"{self._head}{name[: self._room]}_{letter}_{tail}"
