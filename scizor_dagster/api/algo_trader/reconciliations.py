"""`/api/reconciliations`: whether plan, ledger and broker agree on a session, and on what they do not."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import ConfigDict, Field

from scizor_dagster.api.algo_trader.requests import Lister, PortfolioFilter, SessionPath, chosen
from scizor_dagster.api.context import TheDesk
from scizor_dagster.api.models import Model
from scizor_dagster.api.paging import Page, ThePage
from scizor_dagster.api.routes import ApiRouter
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.open_breaks import open_breaks_of
from scizor_dagster.flow.summary import session_summary

router = ApiRouter("reconciliations")


class BreakView(Model):
    """One difference. Amounts are text, as exact as they are stored."""

    kind: str
    break_class: str | None
    stage: str | None
    symbol: str | None
    client_order_id: str | None
    plan: str | None
    ledger: str | None
    broker: str | None
    qty: str | None
    amount: str | None
    currency: str | None
    cause: str | None
    locks: str | None
    break_id: str | None
    remedy: str


class OpenBreak(Model):
    """A difference that keeps something from trading, whoever has found it."""

    break_id: str
    of: str
    session: date
    found_in: str
    kind: str
    symbol: str | None
    locks: str
    cause: str
    clear: str = Field(description="What to type once they agree.")


class HeldBackOrder(Model):
    """An order that a halt, a lock or another wait has kept from going out."""

    symbol: str
    side: str
    qty: str
    lost: bool
    why: str


class Reconciliation(Model):
    """A session of one portfolio."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "portfolio": "main",
                "session": "2026-11-20",
                "state": "reconciled",
                "pass": "first",
                "closed": False,
                "orders": 2,
                "filled": 2,
                "working": 0,
                "breaks": 0,
                "refused": 0,
                "held_back": 0,
                "permitted": None,
                "break_rows": [],
                "open_breaks": [],
                "held_back_rows": [],
            }
        },
        populate_by_name=True,
    )

    portfolio: str
    session: date
    state: str = Field(description="`not reconciled` where nobody has looked yet.")
    which: str | None = Field(alias="pass", description="`first` after trading, `second` before the next session.")
    closed: bool | None
    orders: int | None
    filled: int | None
    working: int | None
    breaks: int | None
    refused: int
    held_back: int
    permitted: str | None = Field(description="Who has armed and approved it.")
    break_rows: list[BreakView]
    open_breaks: list[OpenBreak] = Field(description="Other open breaks of the account.")
    held_back_rows: list[HeldBackOrder]


@router.get("/reconciliations/{session}", summary="The reconciliations of a session")
def list_reconciliations(
    desk: TheDesk, actor: Lister, paging: ThePage, session: SessionPath, portfolio: PortfolioFilter = None
) -> Page[Reconciliation]:
    """One item for each portfolio. Compares nothing: `scizor reconcile` does, and the schedule."""
    found = [_of(desk, name, session) for name in chosen(actor, desk, portfolio)]
    return paging.page(found, lambda item: item.portfolio)


def _of(desk: Desk, name: str, session: date) -> Reconciliation:
    if not desk.has_lake:
        return Reconciliation(
            portfolio=name, session=session, state="not reconciled", which=None, closed=None, orders=None, filled=None,
            working=None, breaks=None, refused=0, held_back=0, permitted=None, break_rows=[], held_back_rows=[],
            open_breaks=[OpenBreak(**row) for row in open_breaks_of(desk, name)],
        )  # fmt: skip
    found = session_summary(desk, name, session)
    plain = ("portfolio", "session", "state", "pass", "closed", "orders", "filled", "working", "breaks", "refused",
             "held_back", "permitted")  # fmt: skip
    return Reconciliation(
        **{key: found[key] for key in plain},
        break_rows=[BreakView(**_known(row)) for row in found["break_rows"]],
        open_breaks=[OpenBreak(**row) for row in found["open_break_rows"]],
        held_back_rows=[_held(row) for row in found["held_back_rows"]],
    )


def _known(row: dict[str, Any]) -> dict[str, Any]:
    # What pandas has for a missing text is no text.
    return {name: row[name] if isinstance(row[name], str) else None for name in BreakView.model_fields}


def _held(row: dict[str, Any]) -> HeldBackOrder:
    return HeldBackOrder(
        symbol=row["symbol"],
        side=str(row["side"]),
        qty=f"{row['qty']:f}",
        lost=bool(row["lost"]),
        why=row["why"],
    )
