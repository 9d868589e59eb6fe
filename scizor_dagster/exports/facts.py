"""What the files of one session are made from, as it was read from the stores.

What belongs here: value objects. What does not: reading them (`flow.exporting`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from scizor_dagster.analytics.valuation import Close
from scizor_dagster.ledger.events import OrderEvent
from scizor_dagster.ledger.rows import FillRow, IntentRow
from scizor_dagster.planning.model import Plan


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One reconciliation of the session, its rows as the lake has them, with every column of their tables.

    Header and breaks are those of the one pass; orders and positions are stored once, as the newest pass saw them.
    """

    header: Mapping[str, Any]
    breaks: Sequence[Mapping[str, Any]]
    order_results: Sequence[Mapping[str, Any]]
    positions: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One session of one portfolio.

    Attributes:
        currency: Of the portfolio's market.
        currencies: Of the instruments that the market knows, by symbol.
        plan: The plan in force: the one that was admitted last, else approved, else the newest; None without one.
        price_ages: Age in sessions of a price by its session, counted to the one that the plan was priced on.
        traded: Whether the ledger has admitted a plan of the session.
        intents: The orders of the session, in plan order, batch by batch.
        events: What the ledger's history says of them, oldest first.
        fills: Executions as they stand by client order id, exits of brackets among them.
        holdings: Signed quantities through the session; None where the ledger knows nothing of the portfolio by then.
        cash: The portfolio's through the session; None where it is not known.
        closes: Last close by symbol on or before the session.
        reconciled: Every reconciliation that is stored, oldest first.
    """

    portfolio: str
    session: date
    currency: str
    currencies: Mapping[str, str]
    plan: Plan | None
    price_ages: Mapping[date, int]
    traded: bool
    intents: Sequence[IntentRow]
    events: Sequence[OrderEvent]
    fills: Mapping[str, Sequence[FillRow]]
    holdings: Mapping[str, Decimal] | None
    cash: Decimal | None
    closes: Mapping[str, Close]
    reconciled: Sequence[Reconciled]
