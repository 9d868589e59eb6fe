"""Markets and their price providers: the section `markets`.

What belongs here: names, types and defaults. What does not: reading prices (`market_data`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from scizor_dagster.config.base import CurrencyCode, Model
from scizor_dagster.config.connections import AlpacaConnection, IbkrConnection
from scizor_dagster.exchanges import currency_of, settling_of

PROVIDERS = ("sample", "files", "alpaca", "ibkr", "yahoo")
MOST_SETTLE_MINUTES = 90
"""The schedules collect that long after a close."""
_PRICES = ("open", "high", "low", "close")


class SampleProvider(Model):
    """The synthetic market: deterministic, labelled synthetic wherever it shows."""

    type: Literal["sample"]
    seed: int = 20260102


class FilesProvider(Model):
    """Prices from CSV or Parquet.

    Attributes:
        path: One long file, or a folder with one file per symbol (`layout: per_symbol`).
        columns: Our name to the file's: symbol, session, open, high, low, close, volume; `adj_close`, where the
            vendor has one, checks its dividends.
        adjustment: What the vendor says the prices are. Only `raw` may ever size a live order.
    """

    type: Literal["files"]
    path: str
    layout: Literal["long", "per_symbol"] = "long"
    format: Literal["csv", "parquet"] = "parquet"
    columns: dict[str, str] = Field(default_factory=dict)
    adjustment: Literal["raw", "split", "total_return"]
    synthetic: bool = False
    actions: str | None = None
    actions_columns: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_basis(self) -> FilesProvider:
        """Four prices of one bar are on one basis, and a column that says it is adjusted is not raw."""
        named = {ours: self.columns.get(ours, ours) for ours in _PRICES}
        adjusted = [ours for ours in _PRICES if "adj" in named[ours].lower()]
        if adjusted and self.adjustment == "raw":
            problem = f"column '{named[adjusted[0]]}' is adjusted by its name, and the prices are declared as raw"
            raise ValueError(f"{problem}; map the columns as traded, or correct `adjustment`")
        if 0 < len(adjusted) < len(_PRICES):
            plain = next(ours for ours in _PRICES if ours not in adjusted)
            problem = f"column '{named[adjusted[0]]}' is adjusted by its name, and '{named[plain]}' is not"
            raise ValueError(f"{problem}; open, high, low and close must be on one basis")
        return self


class AlpacaProvider(AlpacaConnection):
    """Prices as traded, corporate actions and listings from Alpaca."""

    type: Literal["alpaca"]


class IbkrProvider(IbkrConnection):
    """Prices from Interactive Brokers, adjusted for splits; an account with the same keys shares the connection.

    Attributes:
        open_requests: Requests for bars that are open at a time; IBKR refuses more than 50.
    """

    type: Literal["ibkr"]
    open_requests: Annotated[int, Field(ge=1, le=50)] = 12


class YahooProvider(Model):
    """Prices from Yahoo Finance, adjusted for splits; needs the extra `yahoo` (`pip install 'scizor[yahoo]'`)."""

    type: Literal["yahoo"]


Provider = Annotated[
    SampleProvider | FilesProvider | AlpacaProvider | IbkrProvider | YahooProvider, Field(discriminator="type")
]


class Basis(NamedTuple):
    """What a source's prices are; prices of two are never put beside each other."""

    adjustment: Literal["raw", "split", "total_return"]
    synthetic: bool

    def __str__(self) -> str:
        return f"{'made-up ' if self.synthetic else ''}{self.adjustment} prices"


def basis_of(provider: Provider) -> Basis:
    """What the prices of `provider` are."""
    match provider:
        case FilesProvider():
            return Basis(provider.adjustment, provider.synthetic)
        case SampleProvider():
            return Basis("raw", synthetic=True)
        case AlpacaProvider():
            return Basis("raw", synthetic=False)
        case _:
            return Basis("split", synthetic=False)


class PriceQuality(Model):
    """When a bar that is possible is still not believed; see `market_data.plausibility`.

    Attributes:
        max_price_jump: Largest factor between a bar and the last believed close, either way.
        max_overnight_move: Largest factor between the last close and the newest price after it, either way, at which
            orders go out; see `market_data.continuity`.
        max_unchanged_sessions: Sessions of one and the same price after which a price that moves stands still.
        max_unpriced_equity: Largest share of equity in holdings without a usable price that is planned around.
        max_source_difference: Largest relative difference of two sources' closes that is not listed.
    """

    max_price_jump: Annotated[float, Field(gt=1.0)] | Literal["unlimited"] = 1.8
    max_overnight_move: Annotated[float, Field(gt=1.0)] | Literal["unlimited"] = 1.4
    max_unchanged_sessions: Annotated[int, Field(ge=2, le=260)] = 5
    max_unpriced_equity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    max_source_difference: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01


class Market(Model):
    """A market.

    Attributes:
        provider: The first source of prices.
        fallbacks: Asked in order for what those before them could not give.
        compare_with: A second source of closes, which are compared with the stored ones and never stored as bars.
        settle_minutes: Minutes after a close from which on a bar is final; None is what the exchange is known for.
        verify_after_days: Days after which a symbol's identity is asked for again at the provider.
    """

    calendar: str
    currency: CurrencyCode
    first_session: date
    universes: tuple[str, ...] = Field(min_length=1)
    provider: Provider
    fallbacks: tuple[Provider, ...] = ()
    compare_with: Provider | None = None
    max_price_age_sessions: Annotated[int, Field(ge=1, le=30)] = 3
    settle_minutes: Annotated[int, Field(ge=0, le=MOST_SETTLE_MINUTES)] | None = None
    verify_after_days: Annotated[int, Field(ge=1, le=3650)] = 90
    quality: PriceQuality = PriceQuality()

    @property
    def settling(self) -> timedelta:
        """How long after a close its session's prices can still change."""
        return settling_of(self.calendar) if self.settle_minutes is None else timedelta(minutes=self.settle_minutes)

    @property
    def sources(self) -> dict[tuple[str | int, ...], Provider]:
        """Every source of prices, by its key below the market's."""
        found: dict[tuple[str | int, ...], Provider] = {("provider",): self.provider}
        found |= {("fallbacks", number): source for number, source in enumerate(self.fallbacks)}
        if self.compare_with is not None:
            found["compare_with",] = self.compare_with
        return found

    @model_validator(mode="after")
    def _in_the_exchanges_currency(self) -> Market:
        traded_in = currency_of(self.calendar)
        if traded_in not in (None, self.currency):
            raise ValueError(
                f"the currency is {self.currency}, and {self.calendar} trades in {traded_in}; "
                f"write `currency: {traded_in}`"
            )
        return self
