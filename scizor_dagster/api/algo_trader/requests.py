"""What the routes of the algo trader have in common: who asks, of which account, and what a request leaves behind.

What belongs here: the rules of the routes, the portfolios that a request may mean, and the mark of a request. What does
not: any resource.

What a person decides over HTTP stands in the ledger with the reason and, behind it, the key and the idempotency key of
the request. By this mark a repeated request finds what it has done before, also where the process died before it could
answer: an arming is not begun anew, and a halt that somebody has set since is not lifted by an old request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from threading import Lock
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, Field

from scizor_dagster.api.context import Context
from scizor_dagster.api.models import one_line
from scizor_dagster.api.paging import Paging
from scizor_dagster.api.problems import wrong_field
from scizor_dagster.api.routes import idempotency_key
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import Scope

Lister = Annotated[Actor, Depends(require(Scope.READ, Reach.LISTED))]
Holder = Annotated[Actor, Depends(require(Scope.READ, Reach.ACCOUNT))]
Trader = Annotated[Actor, Depends(require(Scope.TRADE, Reach.ACCOUNT))]
Stopper = Annotated[
    Actor,
    Depends(
        require(
            Scope.TRADE,
            Reach.ACCOUNT,
            or_one_of={Scope.UPLOAD, Scope.ADMIN},
            could_trade=False,
            always=True,
        )
    ),
]
"""Whoever may change what trades may stop it, and nothing keeps the request waiting."""
RequestKey = Annotated[str, Depends(idempotency_key)]
PortfolioFilter = Annotated[
    str | None, Query(max_length=64, description="One portfolio; without it, every one of the key.", examples=["main"])
]
SessionFilter = Annotated[
    date | None, Query(description="One session; without it, every one.", examples=["2026-11-20"])
]
SymbolFilter = Annotated[str | None, Query(max_length=32, description="One symbol.", examples=["AAPL"])]
SessionPath = Annotated[date, Path(description="The session.", examples=["2026-11-20"])]


Reason = Annotated[
    str,
    Field(max_length=500, description="Why; it stands in the ledger.", examples=["the feed looks wrong"]),
    AfterValidator(one_line),
]
_at_brokers = Lock()


def marked(reason: str, actor: Actor, key: str) -> str:
    """The reason with the mark of the request."""
    return f"{reason} [{actor.key_id}/{key}]"


def _mark(request: Request) -> str:
    actor: Actor = request.state.actor
    key = getattr(request.state, "idempotency_key", None) or request.state.request_id
    return f"[{actor.key_id}/{key}]"


RequestMark = Annotated[str, Depends(_mark)]
"""The mark alone, also of a request without an idempotency key."""


def chosen(actor: Actor, desk: Desk, portfolio: str | None) -> list[str]:
    """The portfolios that a filter means: the one it names, or every one that the key may see, by name.

    Raises:
        NotFound: there is none of that name, or none that this key may see.
    """
    if portfolio is None:
        return sorted(actor.portfolios(desk))
    actor.portfolio(desk, portfolio)
    return [portfolio]


def newest_first(
    wanted: sa.Select[Any], session: sa.ColumnElement[date], columns: Sequence[sa.ColumnElement[str]], paging: Paging
) -> sa.Select[Any]:
    """`wanted` behind the page's cursor: the newest session first, in it by `columns`; one row more than the page has.

    Raises:
        InputError: the cursor is none of these.
    """
    before = _session_before(paging.after, 1 + len(columns))
    if before is not None:
        day, last = before
        rest = sa.and_(session == day, sa.tuple_(*columns) > sa.tuple_(*last))
        wanted = wanted.where(sa.or_(session < day, rest))
    return wanted.order_by(session.desc(), *columns).limit(paging.limit + 1)


def _session_before(cursor: str | None, parts: int) -> tuple[date, list[str]] | None:
    """A cursor that begins with a session, taken apart at `|`; None where there is none.

    Raises:
        InputError: it is none of these.
    """
    if cursor is None:
        return None
    day, *rest = cursor.split("|", parts - 1)
    try:
        return date.fromisoformat(day), _all(rest, parts - 1)
    except ValueError as error:
        raise wrong_field("query.cursor", "That is no cursor.", "Take it from `next` of the page before.") from error


def _all(rest: list[str], count: int) -> list[str]:
    if len(rest) != count:
        raise ValueError(rest)
    return rest


@contextmanager
def connected(context: Context) -> Iterator[Desk]:
    """A desk for one request that talks to a broker; its connections end with it.

    One request at a time: connections are for one thread, and a broker may know this process by one of them.
    """
    with _at_brokers:
        desk = context.new_desk()
        try:
            yield desk
        finally:
            desk.disconnect()
