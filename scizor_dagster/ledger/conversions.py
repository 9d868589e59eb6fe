"""Capital that was stated in another currency, as it was converted when its portfolio began: entries of the history.

What belongs here: writing the conversion with the portfolio's first batch, and reading it back. What does not: rates
(`market_data.rates`), and what a changed configuration means (`flow.money`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal

import sqlalchemy as sa

from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.tables import events

KIND = "capital_converted"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a portfolio's capital was stated as, and what became of it.

    Attributes:
        amount: In `currency`.
        converted_on: The day whose rate was asked for.
        capital: The amount in the market's currency.
        sentence: The conversion in words, with the rate, its day and its age.
    """

    amount: Decimal
    currency: str
    converted_on: date
    capital: Decimal
    sentence: str


def record_conversion(
    connection: sa.Connection, account: str, portfolio: str, conversion: Conversion, *, now: datetime
) -> None:
    """Record how the portfolio's capital came about; belongs to the transaction that admits its first batch."""
    append(connection, now, account, KIND, {"portfolio": portfolio, **asdict(conversion)})


def conversion_of(connection: sa.Connection, account: str, portfolio: str) -> Conversion | None:
    """The recorded conversion, or None where there was none to make."""
    statement = sa.select(events.c.payload).where(events.c.account == account, events.c.kind == KIND)
    for payload in connection.execute(statement.order_by(events.c.seq)).scalars():
        row = json.loads(payload)
        if row.pop("portfolio") == portfolio:
            row["converted_on"] = date.fromisoformat(row["converted_on"])
            return Conversion(**row | {name: Decimal(row[name]) for name in ("amount", "capital")})
    return None
