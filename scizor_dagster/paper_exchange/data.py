"""What the exchange is fed with: bars and corporate actions of sessions that have happened.

What belongs here: the protocol and its value objects. What does not: where they come from
(`lake_data`), and what they do to orders and positions (`matching`, `overnight`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SessionBar:
    """One instrument's trading in one session: prices in its currency, volume in shares."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class SessionAction:
    """A corporate action that takes effect before the open of `session`.

    Attributes:
        session: Usually a session; an action that is dated on another day takes effect at the next open.
        kind: `split`, `dividend`, `delisting` or `rename`; others are passed over.
        ratio: For a split: new shares per old one.
        amount: Cash per share, as it trades on `session`: of a dividend, or the last close of what is delisted.
        new_symbol: For a rename: the symbol that it trades under from `session` on.
    """

    symbol: str
    session: date
    kind: str
    ratio: Decimal | None = None
    amount: Decimal | None = None
    new_symbol: str | None = None


class SessionData(Protocol):
    """The market as the exchange may see it."""

    def bars(self, session: date) -> Mapping[str, SessionBar] | None:
        """Bars of a session by symbol; None while they are not there, or not there for enough of the market."""
        ...

    def history(self, symbols: Collection[str], first: date, last: date) -> Mapping[str, Mapping[date, SessionBar]]:
        """Every bar that is there of `symbols` from `first` to `last`, by symbol and session, sessions ascending."""
        ...

    def passed_without_trading(self, session: date) -> bool:
        """Whether a session has no bar at all while a later one has its bars."""
        ...

    def actions(self, session: date) -> Sequence[SessionAction]:
        """Corporate actions whose ex session is `session`."""
        ...

    def actions_between(self, first: date, last: date, symbols: Collection[str]) -> Sequence[SessionAction]:
        """Corporate actions of `symbols` with an ex session from `first` to `last`, as they are known now."""
        ...

    def last_prices(self, before: date) -> Mapping[str, Decimal]:
        """Last close before the session `before`, by symbol, in the units that trade on `before`.

        A close from before a split that takes effect up to and including `before` is divided by its
        ratio. A symbol without a close is absent.
        """
        ...
