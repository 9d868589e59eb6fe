"""Open breaks: what plan, ledger and broker do not agree on, kept until they do or a person accepts it.

What belongs here: the rows, written by each reconciliation for what it has looked at, and accepting one. What does
not: finding them (`reconciliation`), and what an open one keeps from being sent (`risk.breaks`).

A break is told by what differs and by how much, so that the same finding made again is the same row. One of orders
or fills belongs to its session and portfolio; positions and cash are of the account as it is now, and whoever
reconciles next speaks for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from scizor_dagster.errors import InputError
from scizor_dagster.ledger import events
from scizor_dagster.ledger.changes import Change, inserted, updated
from scizor_dagster.ledger.checkpoints import books_at
from scizor_dagster.ledger.reconciliation_tables import breaks

POSITION_DIFFERS = "position_differs"
"""Kind of a break of quantities: the broker's less what the account's portfolios own together."""
ZERO = Decimal(0)
AGREED = "machine"
"""Who has cleared a break that was not found any more."""
THEY_AGREE = "the parties agree again"
# Built once: read before every send.
_OPEN = (
    sa.select(breaks)
    .where(breaks.c.account == sa.bindparam("account"), breaks.c.cleared_at.is_(None))
    .order_by(breaks.c.opened_at, breaks.c.break_id)
)
_ACCEPTED = sa.select(breaks).where(
    breaks.c.account == sa.bindparam("account"), breaks.c.cleared_at.is_not(None), breaks.c.cleared_by != AGREED
)
_BY_ID = sa.select(breaks).where(breaks.c.break_id.in_(sa.bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class BreakRow:
    """One break as it is stored; `cleared_at` is None while it is open.

    Attributes:
        portfolio: Whose session differs; None for positions and cash, which are the account's.
        session: In whose reconciliation it was found first.
        found_in: Its pass, `first` or `second`.
        locks: What does not trade while it is open: `none`, `order`, `instrument` or `portfolio`.
        qty: Signed shares, the broker's less the ledger's or what was meant; None where it is of none.
        amount: Signed money in `currency`, likewise.
        value: What it may be worth in the account's currency, unsigned; None where nobody can say.
    """

    break_id: str
    account: str
    portfolio: str | None
    session: date
    found_in: str
    stage: str
    kind: str
    break_class: str
    symbol: str | None
    client_order_id: str | None
    locks: str
    qty: Decimal | None
    amount: Decimal | None
    currency: str | None
    value: Decimal | None
    cause: str
    opened_at: datetime
    cleared_at: datetime | None = None
    cleared_by: str | None = None
    clear_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """What a reconciliation has looked at: what it does not find there any more is cleared.

    Attributes:
        account: The account.
        portfolio: Whose session it was.
        session: The session.
        of_session: Stages of that session that were compared.
        of_account: Stages that were compared as the account is now.
        but: Symbols of which no break of the session is cleared, whatever was not found.
        at_work: Symbols of which no break of the account is cleared: what they come to is not known yet.
        why: Why a break of the session is clear that is not found any more.
        accepted: Ids of breaks that a person has accepted and that are there as they were.
        cash_differs: Whether cash still differs, if by another amount than the accepted one.
    """

    account: str
    portfolio: str
    session: date
    of_session: Collection[str]
    of_account: Collection[str]
    but: Collection[str] = ()
    at_work: Collection[str] = ()
    why: str = THEY_AGREE
    accepted: Collection[str] = ()
    cash_differs: bool = False

    def covers(self, row: BreakRow) -> bool:
        if row.portfolio is None:
            return row.stage in self.of_account and row.symbol not in self.at_work
        mine = (row.portfolio, row.session) == (self.portfolio, self.session) and row.symbol not in self.but
        return mine and row.stage in self.of_session

    def has_ended(self, row: BreakRow) -> bool:
        """Whether what a person has accepted is not there any more."""
        unsettled = self.cash_differs and row.portfolio is None and row.symbol is None
        return not unsettled and row.break_id not in self.accepted and self.covers(row)


def record_breaks(
    connection: sa.Connection, looked: Looked, found: Iterable[BreakRow], *, now: datetime
) -> tuple[list[BreakRow], list[BreakRow]]:
    """Open what is new of `found`, and clear what was open in what was looked at and is not found any more.

    One that a person has accepted stays so as long as it is there; one that had agreed again, and does not, is opened
    anew, whoever had accepted it before; one that is still open gets its class, cause, lock and value as they are seen
    now. A value that was known stays where none is now.

    Returns:
        Those that were opened, and those that were cleared.
    """
    wanted = {row.break_id: row for row in found}
    known = {row.break_id: row for row in breaks_by_id(connection, wanted)}
    opened = [row for name, row in wanted.items() if name not in known or known[name].cleared_by == AGREED]
    cleared = [
        row for row in open_breaks(connection, looked.account) if row.break_id not in wanted and looked.covers(row)
    ]
    for row in opened:
        _write(connection, "break_opened", row, _opening(row, known.get(row.break_id)), now)
    for name, row in known.items():
        if row.cleared_at is None and (news := _news(row, wanted[name])):
            changed = replace(row, **news)
            _write(connection, "break_seen_anew", changed, updated(breaks, {"break_id": name}, news), now)
    for row in cleared:
        why = THEY_AGREE if row.portfolio is None else looked.why
        ended = {"cleared_at": now, "cleared_by": AGREED, "clear_reason": why}
        _write(connection, "break_cleared", row, updated(breaks, {"break_id": row.break_id}, ended), now)
    for row in acceptances(connection, looked.account):
        if row.break_id not in wanted and looked.has_ended(row):
            said = f"{THEY_AGREE}; accepted by {row.cleared_by} before: {row.clear_reason}"
            change = updated(breaks, {"break_id": row.break_id}, {"cleared_by": AGREED, "clear_reason": said})
            _write(connection, "acceptance_ended", row, change, now)
    return opened, cleared


def open_breaks(connection: sa.Connection, account: str) -> list[BreakRow]:
    """The account's open breaks, oldest first."""
    return [_row(row) for row in connection.execute(_OPEN, {"account": account})]


def accepted_breaks(connection: sa.Connection, account: str) -> dict[str, str]:
    """Who has accepted which break of the account, and why, by its id."""
    return {row.break_id: f"{row.cleared_by}: {row.clear_reason}" for row in acceptances(connection, account)}


def acceptances(connection: sa.Connection, account: str) -> list[BreakRow]:
    """The account's breaks that a person has accepted, and that have not been found to agree since."""
    return [_row(row) for row in connection.execute(_ACCEPTED, {"account": account})]


def breaks_by_id(connection: sa.Connection, ids: Iterable[str]) -> list[BreakRow]:
    """Those of `ids` that the ledger knows, open or not."""
    wanted = sorted(ids)
    return [_row(row) for row in connection.execute(_BY_ID, {"ids": wanted})] if wanted else []


def accept_break(connection: sa.Connection, break_id: str, *, actor: str, reason: str, now: datetime) -> BreakRow:
    """A person has looked at the break and takes it as it is: it keeps nothing from trading any more.

    Raises:
        InputError: there is no such break, it is not open, there is no reason, or the account holds less than the
            portfolios own: an exit would sell what is not there, and leave the account short.
    """
    found = breaks_by_id(connection, [break_id])
    problem, remedy = None, "See the open ones and their ids: scizor reconcile."
    if not found:
        problem = "There is no such break."
    elif found[0].cleared_at is not None:
        problem = f"The break is not open: {found[0].clear_reason}."
    elif not reason.strip():
        problem = "Accepting a break needs a reason."
    elif missing := _missing(connection, found[0]):
        problem, remedy = missing
    if problem is not None:
        raise InputError(problem, remedy=remedy, where=f"break {break_id}")
    values = {"cleared_at": now, "cleared_by": actor, "clear_reason": reason}
    change = updated(breaks, {"break_id": break_id}, values)
    payload = {"break_id": break_id, "actor": actor, "reason": reason}
    events.append(connection, now, found[0].account, "break_accepted", payload, changes=[change])
    return replace(found[0], cleared_at=now, cleared_by=actor, clear_reason=reason)


def _missing(connection: sa.Connection, row: BreakRow) -> tuple[str, str] | None:
    """Why shares that the account does not have cannot be taken as they are, and what to do instead."""
    if row.kind != POSITION_DIFFERS or row.symbol is None or row.qty is None:
        return None
    books = books_at(connection, row.account).quantities.items()
    mine = {owner: qty for (owner, symbol), qty in books if owner is not None and symbol == row.symbol}
    owned = sum(mine.values(), ZERO)
    if owned * row.qty >= 0:
        return None
    held = owned + row.qty
    owner = max(sorted(mine), key=lambda name: mine[name] if owned > 0 else -mine[name])
    gone = min(abs(row.qty), abs(mine[owner])).copy_sign(row.qty)
    problem = (
        f"The portfolios own {owned.normalize():f} {row.symbol}, and the account holds {held.normalize() + ZERO:f}: "
        "what is not there cannot be sold."
    )
    return problem, f"Write off what is gone: scizor adopt {owner} {row.symbol} --qty={gone.normalize():f}."


def _news(before: BreakRow, row: BreakRow) -> dict[str, Any]:
    """What is seen otherwise of a break that is open."""
    seen: dict[str, Any] = {"break_class": row.break_class, "cause": row.cause, "locks": row.locks}
    seen["value"] = before.value if row.value is None else row.value
    return {name: value for name, value in seen.items() if getattr(before, name) != value}


def _opening(row: BreakRow, before: BreakRow | None) -> Change:
    values = asdict(row)
    if before is None:
        return inserted(breaks, values)
    return updated(breaks, {"break_id": values.pop("break_id")}, values)


def _write(connection: sa.Connection, kind: str, row: BreakRow, change: Change, now: datetime) -> None:
    payload: dict[str, Any] = {
        "break_id": row.break_id,
        "kind": row.kind,
        "class": row.break_class,
        "symbol": row.symbol,
        "locks": row.locks,
        "portfolio": row.portfolio,
        "session": row.session,
    }
    # A stranger's order may have any id; the history has a column for our own alone.
    events.append(connection, now, row.account, kind, payload, changes=[change])


def _row(row: Any) -> BreakRow:
    return BreakRow(**row._mapping)
