"""Share classes: one rule for `BRK.B`, `BRK-B`, `BRK/B` and `BRK B`.

What belongs here: which tickers are spellings of one another. What does not: what is done where two
instruments of a market answer to one spelling (`identity`).

A ticker is one class of a company's shares where a single letter follows a separator. Anything else, such
as a preferred series or a unit (`BAC.PRL`, `ABC.WS`), has no other spelling here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_CLASS_SHARE = re.compile(r"^([A-Z0-9]+)[.\-/ ]([A-Z])$")


def class_share(symbol: str) -> tuple[str, str] | None:
    """Company and class of a ticker, whatever stands between them; None where it names no class."""
    match = _CLASS_SHARE.match(symbol)
    return (match[1], match[2]) if match else None


def one_spelling(symbol: str) -> str:
    """The same text for every spelling of a share class; a ticker that names none is its own."""
    return ".".join(class_share(symbol) or (symbol,))


def class_shares(symbols: Iterable[str]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The tickers of a market that name a class, by company and class."""
    found: dict[tuple[str, str], list[str]] = {}
    for symbol in symbols:
        if key := class_share(symbol):
            found.setdefault(key, []).append(symbol)
    return {key: tuple(names) for key, names in found.items()}
