"""Where a portfolio's weights come from: the section `signals`, and mapping tables.

What belongs here: names, types and defaults. What does not: a strategy's own entry (`signals.manifest`), and
what is made of several strategies (`signals.blend`, `signals.overlays`).
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from scizor_dagster.config.base import Model, Name, Positive

OnAmbiguous = Literal["refuse", "quarantine", "first_priced", "prefer", "split"]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class MappingTable(Model):
    """A table from a strategy's ids to tickers. Paths are relative to the configuration's folder.

    Attributes:
        from_column: First date that a row holds on; blank is open. Its default name may be absent from the table.
        to_column: First date that it does not hold on any more; as above.
        on_ambiguous: What an id with several tickers does: refuse the session, set the id aside, or give the weight
            to the first with a price, to the first that `prefer` names, or evenly to all with a price.
        prefer: With `on_ambiguous: prefer`, the tickers to choose, the most wanted first.
    """

    file: str
    id_column: str = "asset_id"
    symbol_column: str = "symbol"
    from_column: str = "valid_from"
    to_column: str = "valid_to"
    on_ambiguous: OnAmbiguous = "quarantine"
    prefer: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _keys_agree(self) -> MappingTable:
        if (self.on_ambiguous == "prefer") != bool(self.prefer):
            raise ValueError("'prefer' lists the tickers to choose, and goes with on_ambiguous: prefer")
        names = Counter((self.id_column, self.symbol_column, self.from_column, self.to_column))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"the column '{twice[0]}' would be read as two of id, symbol, from and to")
        return self


class MemberStrategy(Model):
    """One of several strategies; in a blend with the share of the portfolio's capital that follows it.

    A bare name stands for the id.
    """

    id: Name
    capital: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return {"id": value} if isinstance(value, str) else value


class Overlay(Model):
    """One change to the combined targets: exactly one of the keys, `up` beside `scale_to_gross`."""

    scale_to_gross: Positive | None = None
    up: bool = False
    cap_per_name: Share | None = None
    cap_per_sector: Positive | None = None
    long_only: Literal[True] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Overlay:
        given = (self.scale_to_gross, self.cap_per_name, self.cap_per_sector, self.long_only)
        if sum(item is not None for item in given) != 1:
            raise ValueError("an overlay is one of scale_to_gross, cap_per_name, cap_per_sector and long_only: true")
        if self.up and self.scale_to_gross is None:
            raise ValueError("'up' goes with scale_to_gross")
        return self


class SignalChoice(Model):
    """Which strategies a portfolio follows, and what is done with their weights together.

    Attributes:
        strategy: With `mode: select`.
        strategies: With `blend`, ids with their capital; with `ensemble`, ids alone.
        combine: With `ensemble`; a strategy without an instrument counts as 0 there.
        overlays: Applied in this order to the combined targets.
    """

    mode: Literal["select", "blend", "ensemble"] = "select"
    strategy: Name | None = None
    strategies: tuple[MemberStrategy, ...] = ()
    combine: Literal["mean", "median"] | None = None
    overlays: tuple[Overlay, ...] = ()
    as_of: Literal["exact", "latest"] = "exact"
    max_age_sessions: Annotated[int, Field(ge=0, le=260)] = 5

    @model_validator(mode="after")
    def _keys_fit_the_mode(self) -> SignalChoice:
        if (self.mode == "select") != (self.strategy is not None) or (self.mode == "select") == bool(self.strategies):
            raise ValueError("mode select takes 'strategy'; the modes blend and ensemble take 'strategies'")
        if (self.mode == "ensemble") != (self.combine is not None):
            raise ValueError("mode ensemble, and no other, takes 'combine': mean or median")
        twice = [name for name, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise ValueError(f"the strategy '{twice[0]}' stands twice")
        shares = [item.capital for item in self.strategies if item.capital is not None]
        if self.mode == "ensemble" and (shares or len(self.strategies) < 2):
            raise ValueError("mode ensemble takes the ids of at least two strategies")
        if self.mode == "blend" and len(shares) < len(self.strategies):
            raise ValueError("mode blend takes strategies with 'id' and 'capital'")
        total = sum(Decimal(repr(share)) for share in shares)
        if total > 1:
            raise ValueError(f"the capital of the strategies sums to {total}; at most 1 is allowed")
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        """Every strategy, in the order of the configuration."""
        return (self.strategy,) if self.strategy is not None else tuple(item.id for item in self.strategies)

    @property
    def named(self) -> str:
        """For sentences: `strategy a`, or `strategies a and b`."""
        return f"{'strategy' if len(self.ids) == 1 else 'strategies'} {' and '.join(self.ids)}"
