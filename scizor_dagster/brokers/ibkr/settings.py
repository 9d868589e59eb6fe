"""How one TWS is reached and what it is expected to be.

What belongs here: values that a configuration gives. What does not: reading them (`config`, `settings`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

PAPER_PREFIX = "D"


@dataclass(frozen=True, slots=True)
class IbkrSettings:
    """One connection to one account.

    Attributes:
        client_id: Unique among the programs that are connected to this TWS.
        account: The account's own id; that of a paper account begins with `D`.
        currency: Of the account: amounts in other currencies are not read as money of it.
        time_zone: Zone set in TWS; an execution without a zone of its own is in it.
        timeout: Seconds that any one answer may take.
        execution_days: Days of executions that TWS shows: 1 is since midnight, up to 7 with its trade-log setting.
        auction_orders: Whether the account may send orders for the auctions.
        closing: The last part of a session, in which what waits is released with what there is.
    """

    host: str
    port: int
    client_id: int
    account: str
    currency: str = "USD"
    time_zone: str = "US/Eastern"
    timeout: float = 20.0
    execution_days: int = 1
    auction_orders: bool = True
    closing: timedelta = timedelta(minutes=5)

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_paper(self) -> bool:
        return self.account.startswith(PAPER_PREFIX)
