"""Who asks, and what that opens: the scope that a route needs, and the accounts that a key may see.

What belongs here: telling the actor from the request, and the rule that every route declares. What does not: the form
of keys (`keys`), and in which order a request is looked at (`routes`).

No scope contains another: `admin` does not trade, and `trade` does not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from fastapi import Request

from scizor_dagster.api.context import Context, logger
from scizor_dagster.api.keys import key_shown
from scizor_dagster.api.problems import Forbidden, NotFound, Unauthorized
from scizor_dagster.config import Portfolio
from scizor_dagster.errors import LedgerError
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.api_keys import ApiKey, Scope, note_use, use_is_due
from scizor_dagster.ledger.store import Ledger

T = TypeVar("T")


class Reach(StrEnum):
    """What a route shows or changes belongs to whom. Every route says so, and a test holds it to that."""

    SHARED = "shared"
    """To no account: prices, symbols, strategies, backtests, the service itself."""
    LISTED = "listed"
    """A list over accounts, of which a key gets those that it may see: `items` is empty where that is none."""
    ACCOUNT = "account"
    """One account's, which the request names: a key that may not see it is told that there is none (404)."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Whom a key stands for. `accounts` is None where it may see every one."""

    name: str
    key_id: str
    scopes: frozenset[Scope]
    accounts: frozenset[str] | None

    def may_see(self, account: str) -> bool:
        return self.accounts is None or account in self.accounts

    def require_account(self, account: str, kind: str, name: str) -> None:
        """Refuse a thing of an account that this key may not see, as if it were not there.

        Raises:
            NotFound: it may not.
        """
        if not self.may_see(account):
            raise NotFound(kind, name)

    def portfolio(self, desk: Desk, name: str) -> Portfolio:
        """The portfolio of that name.

        Raises:
            NotFound: there is none, or none that this key may see.
        """
        found = desk.config.portfolios.get(name)
        if found is None or not self.may_see(found.account):
            raise NotFound("portfolio", name)
        return found

    def portfolios(self, desk: Desk) -> dict[str, Portfolio]:
        """Those that this key may see."""
        return {name: item for name, item in desk.config.portfolios.items() if self.may_see(item.account)}

    def visible(self, items: Iterable[tuple[str, T]]) -> list[T]:
        """Of (account, item), the items of accounts that this key may see."""
        return [item for account, item in items if self.may_see(account)]


@dataclass(frozen=True)
class Require:
    """The rule of a route: the dependency that hands it its actor.

    Attributes:
        scope: What the key must have.
        reach: Whose it is.
        could_trade: Whether a POST must bring an `Idempotency-Key`.
        or_one_of: Scopes of which one is enough in its place.
        always: Whether no limit of requests and no want of a free thread may refuse it or keep it waiting.
    """

    scope: Scope
    reach: Reach
    could_trade: bool
    or_one_of: frozenset[Scope] = frozenset()
    always: bool = False

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Those of which a key needs one, sorted."""
        return tuple(sorted({self.scope, *self.or_one_of}))

    async def __call__(self, request: Request) -> Actor:
        # A dependency that is no coroutine takes a thread each time.
        actor: Actor = request.state.actor
        return actor

    def check(self, actor: Actor) -> None:
        """Refuse an actor without the scope.

        Raises:
            Forbidden: the key lacks it.
        """
        if actor.scopes.isdisjoint(self.scopes):
            raise Forbidden(
                f"The key lacks the scope '{self.scope.shown}'.",
                remedy=f"Use a key that has it; an operator makes one: scizor keys create --scope {self.scope.shown}.",
            )


def require(
    scope: Scope,
    reach: Reach,
    *,
    could_trade: bool | None = None,
    or_one_of: Collection[Scope] = (),
    always: bool = False,
) -> Require:
    """The rule of a route, for `Depends`; with the scope `trade` it could trade unless it says otherwise."""
    trades = scope is Scope.TRADE if could_trade is None else could_trade
    return Require(scope, reach, trades, frozenset(or_one_of), always)


def actor_of(context: Context, shown: str, address: str, *, always: bool = False) -> Actor:
    """Whom the header `Authorization` stands for; with `always`, however many have asked.

    Raises:
        Unauthorized: nobody, or not any more. Too many of these, and no key is looked at (429).
    """
    if not always:
        context.rates.require_few_refusals(address)
    now = context.clock()
    try:
        key = _key(context, shown, now)
    except Unauthorized:
        if always:
            # Nobody with a key was kept out; whoever has none is.
            context.rates.require_few_refusals(address)
        context.rates.note_refusal(address)
        raise
    if not always:
        context.rates.take_key(key.key_id)
    _note_use(context, key, now)
    return Actor(key.actor, key.key_id, key.scopes, key.accounts)


def actor_at_hand(context: Context, shown: str, address: str, *, always: bool = False) -> Actor | None:
    """As `actor_of`, for the event loop: None, and nothing was counted, where the ledger has to be asked or written to.

    Raises:
        RequestRefused: too many requests (429).
    """
    text, now = _text_of(shown), context.clock()
    key = context.keys.of(text) if text else None
    if key is None or key.refusal(now) or use_is_due(key, now):
        return None
    if not always:
        context.rates.require_few_refusals(address)
        context.rates.take_key(key.key_id)
    return Actor(key.actor, key.key_id, key.scopes, key.accounts)


def _text_of(shown: str) -> str:
    """The key in the header; empty where there is none."""
    scheme, _, text = shown.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _key(context: Context, shown: str, now: datetime) -> ApiKey:
    text = _text_of(shown)
    if not text:
        raise Unauthorized("no key")
    ledger = context.ledger
    found = context.keys.looked_up(ledger.path, lambda: _row(ledger, text)) if ledger is not None else None
    if found is None:
        raise Unauthorized("unknown key")
    refusal = found.refusal(now)
    if refusal:
        raise Unauthorized(f"{refusal}: {found.key_id} of {found.actor}")
    return found


def _row(ledger: Ledger, text: str) -> ApiKey | None:
    with ledger.read() as connection:
        return key_shown(connection, text)


def _note_use(context: Context, key: ApiKey, now: datetime) -> None:
    ledger = context.ledger
    if ledger is None or not use_is_due(key, now):
        return
    try:
        with ledger.transaction() as connection:
            note_use(connection, key.key_id, now)
    except LedgerError as error:
        # No reason to refuse a request that may write nothing.
        logger.warning("The use of key %s was not noted: %s", key.key_id, error.problem)
