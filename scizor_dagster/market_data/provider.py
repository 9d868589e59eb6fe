"""What Scizor asks of a source of prices, in Scizor's words.

What belongs here: the protocol, its value objects and the columns of its frames. What does not: how
one source spells, pages or limits (its own module), and which rows are good (`quality`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd

Adjustment = Literal["raw", "split", "total_return"]
ADJUSTMENTS: tuple[Adjustment, ...] = ("raw", "split", "total_return")

PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("symbol", "session", *PRICE_COLUMNS, "volume")
ADJUSTED_CLOSE = "adj_close"
"""A column that a frame of bars may have besides: the source's own adjusted close, which checks its actions."""
ACTION_COLUMNS = ("symbol", "ex_session", "kind", "ratio", "amount", "currency", "new_symbol")
ACTION_KINDS = ("split", "dividend", "spin_off", "rights", "rename", "delisting")
LookupCalls = Literal["none", "one", "each"]
"""Requests that a lookup costs: none, one however many symbols are asked for, or one for each symbol."""


class SymbolReason(StrEnum):
    """Why a symbol is not one instrument that can be collected and traded."""

    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    DELISTED = "delisted"
    INACTIVE = "inactive"
    NOT_TRADABLE = "not_tradable"
    """Its identity is certain and its prices are collected; the provider takes no orders for it."""
    NO_PERMISSION = "no_permission"
    OTHER_EXCHANGE = "other_exchange"
    OTHER_CURRENCY = "other_currency"
    SAME_AS_ANOTHER = "same_as_another"
    RENAMED = "renamed"
    REUSED = "reused"
    """The rows under this name are those of a company whose ticker another company has now."""
    REMOVED = "removed"
    DOUBTED = "doubted"
    """The provider has stopped to know it, and said so on one day only: it stays tracked until it says so again."""
    PENDING = "pending"
    """Nobody has answered yet."""


class FailureReason(StrEnum):
    """Why a source that answers has said nothing of one symbol."""

    AMBIGUOUS = "ambiguous"
    """It names several contracts."""
    NO_ANSWER = "no_answer"
    """Nothing came in time."""
    CANCELLED = "cancelled"
    """The source broke off its answer."""
    REFUSED_QUESTION = "refused_question"
    """An error that is none of the others; the words are the source's."""
    UNREADABLE = "unreadable"
    """An answer came that makes no sense."""
    OTHER_BASIS = "other_basis"
    """A fall-back has the bars, on another basis than the others' prices."""


@dataclass(frozen=True, slots=True)
class SymbolFailure:
    """What went wrong with the question about one symbol; `words` are mostly the source's."""

    reason: FailureReason
    words: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One match of a symbol at the provider.

    Attributes:
        provider_id: The provider's own id of the instrument; empty where it has none but the ticker.
        mic: Listing exchange, where the provider names it and it is known here.
        currency: Currency of the prices, where the provider knows it.
        objection: What the provider itself says against the match, with `note` in its words; None is nothing.
        tradable: Whether it takes orders, where the provider knows; likewise `shortable` and `fractionable`.
        exchange: The provider's own name of the listing exchange; empty where it names none.
    """

    symbol: str
    provider_id: str
    mic: str | None = None
    currency: str | None = None
    name: str = ""
    objection: SymbolReason | None = None
    note: str = ""
    tradable: bool | None = None
    shortable: bool | None = None
    fractionable: bool | None = None
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class LatestPrice:
    """A price with the instant it is of, which may be long ago: the reader judges its age."""

    symbol: str
    price: Decimal
    at: datetime
    source: str


class MarketData(Protocol):
    """One source of prices.

    Attributes:
        name: Written to every row as `source`.
        adjustment: What the prices are: as traded, split-adjusted, or split- and dividend-adjusted.
        synthetic: Whether the prices are made up; shown wherever they show.
        lookup_calls: What a lookup costs; decides how often symbols are verified.

    In frames `symbol` is text, and `session` and `ex_session` are naive `datetime64` at midnight that
    stand for the exchange's session date.
    """

    @property
    def name(self) -> str: ...

    @property
    def adjustment(self) -> Adjustment: ...

    @property
    def synthetic(self) -> bool: ...

    @property
    def lookup_calls(self) -> LookupCalls: ...

    def lookup(self, symbols: Sequence[str]) -> dict[str, tuple[Listing, ...]]:
        """For every symbol its matches: none, one or many. A near miss is not a match.

        Raises:
            BrokerUnavailable: the provider did not answer; that says nothing about the symbols.
        """
        ...

    def daily_bars(self, symbols: Sequence[str], first: date, last: date, now: datetime) -> Iterator[pd.DataFrame]:
        """Bars of the sessions from `first` to `last`, both included, in batches as they arrive.

        A bar of a session that has not closed at `now` is left out. A frame has the columns
        `BAR_COLUMNS`: prices per share in the instrument's currency and volume in shares, float64; and
        `source`, where a bar is not from the source called `name`. A symbol without bars is absent; rows
        are otherwise handed on as the source has them.
        """
        ...

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        """Newest known price of each symbol at `now`; a symbol without one is absent."""
        ...

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Actions with an ex session from `first` to `last`, both included; columns `ACTION_COLUMNS`,
        and `source` where an action is not from the source called `name`.

        `kind` is one of `ACTION_KINDS`. `ratio` is new shares per old share of a split, `amount` cash
        per share held into the ex session of a dividend (per share after a split of the same session,
        and on the same split basis as the source's prices), in `currency`. Of a spin-off and of
        rights `ratio` is how many of `new_symbol` come to each share held. A delisting's ex session is the first
        one without trading.
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A source that limits how often it is asked: what it has not is remembered, and questions overlap.

    Its `daily_bars` may be called from several threads at once.
    """

    @property
    def calls_made(self) -> int:
        """Requests for bars sent so far, pages and repetitions included."""
        ...

    def calls(self, symbols: int, sessions: int) -> int:
        """How many requests the bars of so many symbols in so many sessions take at most."""
        ...

    def symbols_per_batch(self, sessions: int) -> int:
        """How many symbols to ask for at a time: what is under way is lost when a run is killed."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A source that gives the bars of one instrument by its own id, whatever its ticker meant before."""

    def bars_of(self, listing: Listing, first: date, last: date, now: datetime) -> pd.DataFrame:
        """Bars of the sessions from `first` to `last`, as of `MarketData.daily_bars`; empty where it has none.

        Raises:
            BrokerUnavailable: the source did not answer.
        """
        ...


@runtime_checkable
class Refusing(Protocol):
    """A source that shows an account the bars of some symbols, and not those of others."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Symbols whose bars were last asked for and not shown, with the source's words."""
        ...


@runtime_checkable
class Failing(Protocol):
    """A source that answers for each symbol by itself: what goes wrong with one leaves the others be."""

    @property
    def failed(self) -> Mapping[str, SymbolFailure]:
        """Symbols whose bars or actions were last asked for without an answer: that says nothing about them."""
        ...
