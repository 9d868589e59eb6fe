"""What a backtest is asked for, in plain values: the options of the command line, and the config of a run.

What belongs here: their names, types and bounds, and the one spelling that digests are made of. What does not: what
they lead to (`flow.backtests`). There is no secret among them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from scizor_dagster.config.base import CurrencyCode, Model, Name, Positive
from scizor_dagster.errors import InputError
from scizor_dagster.signals.manifest import Rebalance

BasisPoints = Annotated[float, Field(ge=0.0, le=10_000.0)]
Money = Annotated[float, Field(ge=0.0)]
Rate = Annotated[float, Field(gt=-1.0, lt=10.0)]
Text = Annotated[str, Field(min_length=1)]
LONGEST_NAME = 200
COSTS = ("half_spread_bps", "slippage_bps", "impact_bps", "max_participation", "borrow_rate", "cash_rate", "debit_rate")
COMMISSION = {
    "commission_per_share": "per_share",
    "commission_bps": "bps",
    "commission_minimum": "minimum",
    "commission_maximum_bps": "maximum_bps",
}
"""Names of the request to those of `analytics.costs_model.Commission`."""


class BacktestRequest(Model):
    """One backtest. What is left out comes from the portfolio where one is named, else it is as said here.

    Attributes:
        name: What a person calls it.
        portfolio: Of the configuration: for its strategies, rules, capital, broker, costs and benchmark.
        market: Whose prices of the lake; by default the portfolio's, else the first of the configuration.
        weights: A weight file, read as the live intake reads one; with `strategy`, in place of that one's own file.
        strategy: Of the strategy manifest, or one that is written in Python. Without `weights` and `strategy`, all
            strategies of the portfolio, as it combines them.
        parameters: Of a strategy that is written in Python.
        rebalance: When that one decides anew; by default what its entry or record says, else in every session.
        stored: Take what the lake has: the portfolio's targets, or the rows that were accepted of the strategy.
        dated: What the dates of `weights` are of; a strategy's own entry says it itself.
        unknown_ids: What an id of `weights` without an instrument does; as above.
        prices: A file, in place of the lake.
        kind: Of the prices. By default the least adjusted that the lake has; a file's are raw.
        actions: A file of splits, dividends and delistings, beside `prices`.
        calendar: Whose sessions `prices` are of, such as XNYS; without one its dates are all sessions.
        currency: Of `prices`, USD by default.
        symbols: Which are traded; empty for all that have a weight.
        first: First session that trades; by default that of the first weights.
        last: Last session; by default the last one with prices.
        rules: A file, as `scizor plan --rules` takes it. Without it and a portfolio, a plain rebalance.
        broker: What it takes is all that is planned.
        capital: Cash at the start, in the currency of the prices; 100,000 by default.
        fill: At which price of its session an order fills; at the open, or at the close where there are no opens.
        delay: Sessions from a plan's close to its fills; 0 fills at the very close that decided.
        half_spread_bps: This and the rest as `backtest.model.Costs` has them.
        keep_positions: Whether holdings and decisions of every session are kept.
    """

    name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    portfolio: Name | None = None
    market: Name | None = None
    weights: Text | None = None
    strategy: Text | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    rebalance: Rebalance | None = None
    stored: bool = False
    dated: Literal["trade_session", "signal_close"] = "trade_session"
    unknown_ids: Literal["refuse", "quarantine"] = "refuse"
    prices: Text | None = None
    kind: Literal["raw", "split", "total_return"] | None = None
    actions: Text | None = None
    calendar: Text | None = None
    currency: CurrencyCode | None = None
    symbols: tuple[Text, ...] = ()
    first: date | None = None
    last: date | None = None
    rules: Text | None = None
    broker: Literal["paper", "alpaca", "ibkr"] | None = None
    capital: Positive | None = None
    fill: Literal["open", "close", "vwap"] | None = None
    delay: Annotated[int, Field(ge=0, le=10)] = 1
    commission_per_share: Money | None = None
    commission_bps: BasisPoints | None = None
    commission_minimum: Money | None = None
    commission_maximum_bps: BasisPoints | None = None
    half_spread_bps: BasisPoints | None = None
    slippage_bps: BasisPoints | None = None
    impact_bps: BasisPoints | None = None
    max_participation: Positive | None = None
    borrow_rate: Rate | None = None
    cash_rate: Rate | None = None
    debit_rate: Rate | None = None
    short_proceeds_earn: bool = False
    benchmark: Text | None = None
    keep_positions: bool = True

    @model_validator(mode="after")
    def _keys_agree(self) -> BacktestRequest:
        if self.portfolio is None and self.weights is None and self.strategy is None:
            raise ValueError("name a portfolio, a strategy or a file of weights")
        if self.stored and self.weights is not None:
            raise ValueError("'stored' takes weights out of the lake, and 'weights' names a file")
        if (self.weights is not None or self.stored) and (self.parameters or self.rebalance):
            raise ValueError("'parameters' and 'rebalance' are of a strategy in Python, not of weights that are there")
        of_a_file = self.weights is not None and self.strategy is None
        idle = sorted({"dated", "unknown_ids"} & self.model_fields_set)
        if idle and not of_a_file:
            raise ValueError(f"'{idle[0]}' is of a file of weights; strategies say it in their own entries")
        if self.prices is None and (self.actions or self.calendar):
            raise ValueError("'actions' and 'calendar' go with 'prices'; the lake knows its own")
        if self.prices is not None and self.market is not None:
            raise ValueError("'prices' names a file, and 'market' prices of the lake")
        if self.portfolio is not None and self.rules is not None:
            raise ValueError("a portfolio has rules of its own; leave 'rules' out")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"first is {self.first}, after last, which is {self.last}")
        if self.delay == 0 and self.fill not in (None, "close"):
            raise ValueError("only the close is there when it decides: delay 0 goes with fill close")
        return self

    @property
    def text(self) -> str:
        """Canonical JSON of what was asked for; what was left out is not in it."""
        return canonical(self.model_dump(mode="json", exclude_defaults=True))


def read_request(values: Mapping[str, Any]) -> BacktestRequest:
    """Check plain values; dates may be texts, and None is the same as left out.

    Raises:
        InputError: naming the first key that is wrong.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return BacktestRequest.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        problem = str(first["msg"]).removeprefix("Value error, ")
        shown = f" '{first['input']}'" if key and first["type"] != "extra_forbidden" else ""
        raise InputError(
            f"{key}{shown}: {problem}" if key else problem[:1].upper() + problem[1:],
            remedy="See docs/backtests.md for what a backtest takes.",
            where="request",
        ) from error


def canonical(value: Any) -> str:
    """JSON that says the same of equal values, whatever order they are in."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def digest(*texts: str | bytes) -> str:
    """SHA-256 of texts one after the other, each with its length before it."""
    found = hashlib.sha256()
    for text in texts:
        content = text.encode() if isinstance(text, str) else text
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, map(_plain, value)))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
