"""What a user may set: `config/config.yaml` as frozen models.

What belongs here: names, types, defaults and the checks that need no other file. What does not:
secrets (environment only), the strategy manifest (`signals.manifest`), paths of stores (`settings`).

Unknown keys are refused, numbers must be finite, a limit is never optional: it is a number or the
word `unlimited`. Percentages are fractions (0.02 is 2 %). Keys of the older system keep their names;
`config_legacy` says what became of those that have no effect any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scizor_dagster.config_legacy import take_legacy_keys
from scizor_dagster.errors import ConfigError
from scizor_dagster.sessions import TradingCalendar
from scizor_dagster.strict_yaml import Key, YamlDocument, dotted, read_yaml

UNLIMITED: Final = "unlimited"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Limit = Positive | Literal["unlimited"]
SUM_TOLERANCE = 0.002


class MisplacedValue(ValueError):
    """A value that is wrong only together with others; `key` is where it stands."""

    def __init__(self, problem: str, *key: str | int) -> None:
        self.key: Key = key
        super().__init__(problem)


class Model(BaseModel):
    """Base of all configuration: closed, frozen, finite, and no coercion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class FractionalShares(Model):
    enabled: bool
    min_order_notional: Annotated[float, Field(ge=0.0)]
    quantity_precision: Annotated[int, Field(ge=0, le=9)]
    max_total_weight: Positive
    adjust_for_overflow: bool


class RiskRules(Model):
    """Sizing rules and limits. `max_notional_per_order` splits an order; the others stop it."""

    fractional_shares: FractionalShares
    max_notional_per_order: Limit
    max_share_per_order: Limit
    max_total_notional: Limit
    min_cash_buffer_pct: Fraction


class ExecutionRules(Model):
    """Order types for whole quantities; a fraction is always a market order."""

    mode_on_buy: Literal["market", "limit", "bracket"] = "market"
    mode_on_sell: Literal["market", "limit"] = "market"
    limit_offset_pct: Fraction = 0.002
    tp_pct: Positive = 0.05
    sl_pct: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.03
    time_in_force: Literal["DAY"] = "DAY"


class WeightRules(Model):
    """What a target may look like before it is believed."""

    allow_short: bool = False
    max_weight: Annotated[float, Field(gt=0.0, le=1.0)] | Literal["unlimited"] = UNLIMITED
    blacklist: tuple[str, ...] = ()


class Idempotency(Model):
    client_order_id_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,6}$")] = "SCZ"


class MappingTable(Model):
    """A table from a strategy's ids to tickers. Paths are relative to the configuration's folder."""

    file: str
    id_column: str = "asset_id"
    symbol_column: str = "symbol"
    on_ambiguous: Literal["refuse", "quarantine", "first_priced"] = "quarantine"


class SampleProvider(Model):
    """The synthetic market: deterministic, labelled synthetic wherever it shows."""

    type: Literal["sample"]
    seed: int = 20260102


class FilesProvider(Model):
    """Prices from CSV or Parquet.

    Attributes:
        path: One long file, or a folder with one file per symbol (`layout: per_symbol`).
        columns: Our name to the file's: symbol, session, open, high, low, close, volume.
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


class Market(Model):
    calendar: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    first_session: date
    universes: tuple[str, ...] = Field(min_length=1)
    provider: SampleProvider | FilesProvider = Field(discriminator="type")
    max_price_age_sessions: Annotated[int, Field(ge=1, le=30)] = 3


class PaperExchangeRules(Model):
    """The embedded exchange: how it fills. Basis points are of the price."""

    half_spread_bps: Annotated[float, Field(ge=0.0, le=1000.0)] = 1.0
    impact_bps: Annotated[float, Field(ge=0.0, le=1000.0)] = 5.0
    """Price impact at 100 % of a step's volume; grows with the square root of participation."""
    max_participation: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Share of the bar's volume that one account may take in one step; the rest waits (a partial fill)."""
    margin_multiplier: Annotated[int, Field(ge=1, le=4)] = 2
    min_order_notional: Annotated[float, Field(ge=0.0)] = 1.0
    short_selling: bool = True
    fractional: bool = True


class Account(Model):
    broker: Literal["paper"]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    initial_cash: Positive
    exchange: PaperExchangeRules = PaperExchangeRules()


class Capital(Model):
    """What a portfolio begins with: an amount, or a share of the account's `initial_cash`.

    Either grows or shrinks with the portfolio's own fills alone.
    """

    amount: Positive | None = None
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Capital:
        if (self.amount is None) == (self.share is None):
            raise ValueError("give exactly one of 'amount' and 'share'")
        return self


class SignalChoice(Model):
    mode: Literal["select"] = "select"
    strategy: Name
    as_of: Literal["exact", "latest"] = "exact"
    max_age_sessions: Annotated[int, Field(ge=0, le=260)] = 5


class Portfolio(Model):
    """One portfolio. `risk`, `execution` and `weights` replace the keys they name in the sections above."""

    market: Name
    account: Name
    capital: Capital
    signals: SignalChoice
    risk: RiskRules
    execution: ExecutionRules
    weights: WeightRules
    idempotency: Idempotency


class Config(Model):
    strategy_manifest: str = "strategy_manifest.yaml"
    markets: dict[Name, Market]
    accounts: dict[Name, Account]
    portfolios: dict[Name, Portfolio]
    legacy_notes: tuple[str, ...] = ()
    """One sentence for each key of the older system that was read but has no effect."""
    source: str = ""

    @model_validator(mode="after")
    def _references_exist(self) -> Config:
        shares: dict[str, float] = {}
        amounts: dict[str, float] = {}
        traded: dict[str, tuple[str, str]] = {}
        for name, portfolio in self.portfolios.items():
            for kind, target, known in (
                ("market", portfolio.market, self.markets),
                ("account", portfolio.account, self.accounts),
            ):
                if target not in known:
                    problem = f"portfolio '{name}' names {kind} '{target}', which is not configured"
                    raise MisplacedValue(problem, "portfolios", name, kind)
            currency, held = self.markets[portfolio.market].currency, self.accounts[portfolio.account].currency
            if currency != held:
                raise MisplacedValue(
                    f"portfolio '{name}' trades in {currency} from account '{portfolio.account}' in {held}; "
                    "use an account in the market's currency",
                    *("portfolios", name, "account"),
                )
            shares[portfolio.account] = shares.get(portfolio.account, 0.0) + (portfolio.capital.share or 0.0)
            amounts[portfolio.account] = amounts.get(portfolio.account, 0.0) + (portfolio.capital.amount or 0.0)
            first = traded.setdefault(portfolio.account, (name, portfolio.market))
            if first[1] != portfolio.market and self.accounts[portfolio.account].broker == "paper":
                raise MisplacedValue(
                    f"portfolio '{name}' trades market '{portfolio.market}' from account '{portfolio.account}', from "
                    f"which '{first[0]}' trades market '{first[1]}', and a paper account is an exchange of one market; "
                    "use an account of its own for each market",
                    *("portfolios", name, "account"),
                )
        for account, total in shares.items():
            if total > 1.0 + 1e-9:
                problem = f"the shares of account '{account}' sum to {total:g}; at most 1 is allowed"
                raise MisplacedValue(problem, "accounts", account)
            deposit = self.accounts[account].initial_cash
            claimed = amounts[account] + total * deposit
            if claimed > deposit * (1.0 + 1e-9):
                raise MisplacedValue(
                    f"the portfolios of account '{account}' begin with {claimed:,.2f} together; "
                    f"its initial_cash is {deposit:,.2f}",
                    *("accounts", account, "initial_cash"),
                )
        return self

    @property
    def folder(self) -> Path:
        return Path(self.source).parent


_DEFAULT_MARKETS: dict[str, Any] = {
    "us": {
        "calendar": "XNYS",
        "currency": "USD",
        "first_session": date(2016, 1, 4),
        "universes": ("universes/nasdaq105.csv", "universes/etf52.csv"),
        "provider": {"type": "sample"},
    }
}
_DEFAULT_ACCOUNTS: dict[str, Any] = {"paper": {"broker": "paper", "initial_cash": 100_000.0}}
_ISO_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
NO_LIMIT = "a limit is a finite number greater than 0, or the word unlimited"
PROVIDERS = ("sample", "files")
_SHARED_SECTIONS = ("risk", "execution", "weights", "idempotency")
M = TypeVar("M", bound=BaseModel)


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and check `config.yaml`.

    Raises:
        ConfigError: the first problem of the file itself, or every violation of the models at once,
            each with line, key and remedy.
    """
    document = read_yaml(path, environment)
    if not isinstance(document.value, dict):
        raise ConfigError("The file must be a mapping of sections.", remedy="See config/config.yaml.", where=str(path))
    values, notes = take_legacy_keys(document)
    values.setdefault("markets", _DEFAULT_MARKETS)
    values.setdefault("accounts", _DEFAULT_ACCOUNTS)
    shared = {name: values.pop(name, {}) for name in _SHARED_SECTIONS}
    portfolios = values.setdefault("portfolios", _default_portfolios(notes.default_strategy))
    if isinstance(portfolios, dict):
        values["portfolios"] = {
            name: _with_shared(body, shared) if isinstance(body, dict) else body for name, body in portfolios.items()
        }
    values |= {"legacy_notes": tuple(notes.sentences), "source": str(path)}
    config = validated(Config, values, document)
    for name, market in config.markets.items():
        try:
            TradingCalendar(market.calendar)
        except ConfigError as error:
            place = document.where(("markets", name, "calendar"))
            raise ConfigError(error.problem, remedy=error.remedy, where=place) from error
    return config


def validated(model: type[M], values: Any, document: YamlDocument) -> M:
    """Check `values` against `model`; every violation names its file, line and key."""
    try:
        return model.model_validate(_plain(values), strict=True)
    except ValidationError as error:
        raise _config_error(error, document) from error


def _plain(value: Any) -> Any:
    """Give strict models what YAML cannot say: tuples for lists, dates for ISO text, floats for whole numbers."""
    if isinstance(value, dict):
        return {key: _plain_date(key, _plain(item)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    return value


def _plain_date(key: str, value: Any) -> Any:
    if key == "first_session" and isinstance(value, str):
        try:
            # fromisoformat alone would take 20210104 and 2021-W01-1 as well.
            return date.fromisoformat(value if _ISO_DATE.match(value) else "")
        except ValueError:
            return value
    return value


def _with_shared(body: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(body)
    for name, section in shared.items():
        merged[name] = _deep_merge(section, body.get(name, {}))
    return merged


def _deep_merge(base: Any, override: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(override, dict):
        return override
    merged = dict(base)
    for key, value in override.items():
        merged[key] = _deep_merge(base[key], value) if key in base else value
    return merged


def _default_portfolios(strategy: str | None) -> dict[str, Any]:
    signals = {"mode": "select", "strategy": strategy or "demo_momentum"}
    return {"main": {"market": "us", "account": "paper", "capital": {"share": 1.0}, "signals": signals}}


def _config_error(error: ValidationError, document: YamlDocument) -> ConfigError:
    sentences = []
    limits = {_key_of(item["loc"]) for item in error.errors() if "literal['unlimited']" in item["loc"]}
    for item in error.errors():
        key = getattr(item.get("ctx", {}).get("error"), "key", None) or _key_of(item["loc"])
        shared = key[2:] if len(key) > 2 and key[0] == "portfolios" and key[2] in _SHARED_SECTIONS else key
        place = document.where(shared if shared in document.lines or shared[:-1] in document.lines else key)
        value = item.get("input")
        shown = f" (found {value!r})" if isinstance(value, str | int | float | bool) else ""
        problem = NO_LIMIT if key in limits else _explain(item["type"], item["msg"], key)
        sentences.append(f"{place}: {_bounded(problem, key)}{shown}")
    unique = list(dict.fromkeys(sentences))
    rest = f" (and {len(unique) - 1} more: " + "; ".join(unique[1:]) + ")" if len(unique) > 1 else ""
    return ConfigError(f"{unique[0]}{rest}.", remedy="Correct the key; docs/configuration.md lists them all.")


def _key_of(loc: Key) -> Key:
    """Where the value stands in the file: pydantic's path without the names of the alternatives it tried."""
    tried = ("function-", "literal[", "constrained-")
    return tuple(
        part
        for before, part in zip((None, *loc), loc, strict=False)
        if not (isinstance(part, str) and (part.startswith(tried) or (before == "provider" and part in PROVIDERS)))
    )


def _bounded(problem: str, key: Key) -> str:
    return f"{problem}; a weight is a share of the capital, at most 1" if key[-1:] == ("max_weight",) else problem


def _explain(kind: str, message: str, key: Key) -> str:
    if kind == "extra_forbidden":
        return f"'{dotted(key[-1:])}' is not a known key"
    if kind == "missing":
        return "the key is missing" + (", and a limit is never left open" if "risk" in key else "")
    if kind == "union_tag_invalid":
        return f"the type is none of {', '.join(PROVIDERS)}"
    if key[-1:] == ("first_session",):
        return "it must be a date, written as YYYY-MM-DD"
    message = message.removeprefix("Value error, ").replace("Input should be", "It must be")
    return message[0].lower() + message[1:].removesuffix(".")
