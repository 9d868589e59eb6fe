"""Names that stand where an asset's stands and are none: totals, cash, notes about the weights.

What belongs here: which names those are. What does not: what is done about one (`rules`, `wide`, `identity`).

Tickers are short and upper-case, and some are words: `SUM`, `NET` and `CASH` are shares as well. A name that may be
either is not judged here alone.
"""

from __future__ import annotations

import re

_TOTAL = re.compile(r"(?:(?:grand|sub|sum|portfolio|overall)[ _-]?)?(?:totals?|sum)(?:[ _-](?:weights?|exposure))?:?")
_CASH = re.compile(r"\$?(?:[a-z]{3}[ _.-])?\$?cash(?:[ _.$&-].*)?|.*[ _-]cash")
_NOTES = frozenset({
    "benchmark", "comment", "comments", "confidence", "count", "created_at", "equity", "exposure", "gross",
    "id", "leverage", "model", "month", "name", "nav", "net", "note", "notes", "num_assets", "n_assets", "pnl",
    "rank", "rebalance", "regime", "return", "returns", "run", "run_id", "score", "sector", "sharpe", "signal",
    "source", "timestamp", "turnover", "type", "updated_at", "version", "vol", "volatility", "week", "weekday",
    "year",
})  # fmt: skip
_LONGEST_TICKER = 5


def is_total(name: str) -> bool:
    """Whether it sums up others, in any letter case."""
    return _TOTAL.fullmatch(name.strip().casefold()) is not None


def is_cash(name: str) -> bool:
    """Whether it is money and not an asset, in any letter case: `CASH`, `USD cash`, `cash & equivalents`."""
    return _CASH.fullmatch(name.strip().casefold()) is not None


def is_note(name: str) -> bool:
    """Whether a column says something about the weights. Short upper-case names are tickers."""
    words = re.sub(r"[\s_-]+", "_", name.strip().casefold())
    return words in _NOTES and not (name.isupper() and len(name) <= _LONGEST_TICKER)
