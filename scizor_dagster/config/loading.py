"""From the file `config.yaml` to checked models, with every error by file, line and key.

What belongs here: defaults of whole sections, sections that portfolios share, and the sentences of errors. What does
not: keys (the modules beside this one) and those of the older system (`legacy`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scizor_dagster.config.accounts import BROKERS
from scizor_dagster.config.connections import SECRET_KEYS
from scizor_dagster.config.legacy import take_legacy_keys
from scizor_dagster.config.markets import PROVIDERS
from scizor_dagster.config.root import Config
from scizor_dagster.errors import ConfigError
from scizor_dagster.sessions import check_calendar
from scizor_dagster.strict_yaml import Key, YamlDocument, dotted, read_yaml

_DEFAULT_MARKETS: dict[str, Any] = {
    "us": {
        "calendar": "XNYS",
        "currency": "USD",
        "first_session": date(2016, 1, 4),
        "universes": ("universes/nasdaq105.csv", "universes/etf52.csv"),
        "provider": {"type": "sample"},
    }
}
_DATES = ("first_session", "converted_on")
_DEFAULT_ACCOUNTS: dict[str, Any] = {"paper": {"broker": "paper", "initial_cash": 100_000.0}}
_ISO_DATE = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
NO_LIMIT = "a limit is a finite number greater than 0, or the word unlimited"
PROTECTIONS = ("cooldown", "stoploss_guard", "max_drawdown")
_NAMES_ONLY = {("key_id",), ("secret_key",)}
"""What stands there instead of the name of a variable may be a secret."""
_BOUNDS = {
    "max_weight": "; a weight is a share of the capital, at most 1",
    "max_price_jump": "; a jump is a factor above 1",
}
_BROKER_AT = 2
"""Where the path of an account's key names the alternative: `accounts`, its name, `paper`."""
_SHARED_SECTIONS = ("risk", "planning", "execution", "weights", "idempotency", "reconciliation")
M = TypeVar("M", bound=BaseModel)


def load_config(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and check `config.yaml`.

    Raises:
        ConfigError: the first problem of the file itself, or every violation of the models at once,
            each with line, key and remedy.
    """
    document = read_yaml(path, environment, SECRET_KEYS)
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
            check_calendar(market.calendar)
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
    if key in _DATES and isinstance(value, str):
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
        if key[0] == "accounts" and item["type"].startswith("union_tag"):
            key = (*key, "broker")
        shared = key[2:] if len(key) > 2 and key[0] == "portfolios" and key[2] in _SHARED_SECTIONS else key
        place = document.where(shared if shared in document.lines or shared[:-1] in document.lines else key)
        value = item.get("ctx", {}).get("tag", item.get("input"))
        is_shown = isinstance(value, str | int | float | bool) and not _may_be_secret(item["type"], value, key)
        shown = f" (found {value!r})" if is_shown else ""
        is_number = key in limits and key[-1:] != ("allowed",)
        problem = NO_LIMIT if is_number else _explain(item["type"], item["msg"], key)
        sentences.append(f"{place}: {_bounded(problem, key)}{shown}")
    unique = list(dict.fromkeys(sentences))
    rest = f" (and {len(unique) - 1} more: " + "; ".join(unique[1:]) + ")" if len(unique) > 1 else ""
    return ConfigError(f"{unique[0]}{rest}.", remedy="Correct the key; docs/configuration.md lists them all.")


def _key_of(loc: Key) -> Key:
    """Where the value stands in the file: pydantic's path without the names of the alternatives it tried."""
    tried = ("function-", "literal[", "constrained-", "tuple[")
    return tuple(
        part
        for place, (before, part) in enumerate(zip((None, *loc), loc, strict=False))
        if not (
            isinstance(part, str)
            and (
                part.startswith(tried)
                or (before == "provider" and part in PROVIDERS)
                or (loc[0] == "accounts" and place == _BROKER_AT and part in BROKERS)
                or (isinstance(before, int) and part in PROTECTIONS)
            )
        )
    )


def _may_be_secret(kind: str, value: Any, key: Key) -> bool:
    """Whether a value is kept out of errors: of a secret's key, of what stands below one or under a key that nobody
    knows, and a login in a URL.
    """
    below = not SECRET_KEYS.isdisjoint(key)
    return below or kind == "extra_forbidden" or (isinstance(value, str) and "@" in value)


def _bounded(problem: str, key: Key) -> str:
    return problem + _BOUNDS.get(str(key[-1]), "") if key else problem


def _explain(kind: str, message: str, key: Key) -> str:
    if kind == "extra_forbidden":
        return f"'{dotted(key[-1:])}' is not a known key"
    if kind == "missing":
        return "the key is missing" + (", and a limit is never left open" if "risk" in key else "")
    if kind == "union_tag_not_found":
        return "the key is missing" if "accounts" in key else "the key 'type' is missing"
    if kind == "union_tag_invalid" and "accounts" in key:
        return f"the broker is none of {', '.join(BROKERS)}"
    if key[-1:] in _NAMES_ONLY:
        return "a secret never stands in the file: write ${NAME} with the name of its environment variable"
    if kind == "union_tag_invalid":
        word, known = ("kind", PROTECTIONS) if "protections" in key else ("type", PROVIDERS)
        return f"the {word} is none of {', '.join(known)}"
    if key[-1:] == ("allowed",):
        return "it must be a list of symbols or universe files, or the word unlimited"
    if key and key[-1] in _DATES:
        return "it must be a date, written as YYYY-MM-DD"
    message = message.removeprefix("Value error, ").replace("Input should be", "It must be")
    return message[0].lower() + message[1:].removesuffix(".")
