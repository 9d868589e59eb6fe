"""How one file is to be read, in plain values that cross a process boundary.

What belongs here: the part of a strategy's entry that the readers need. What does not: the entry
itself and its checks (`manifest`); this module imports none of them, so that a reader starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Format = Literal["csv", "xlsx", "parquet", "json"]
Layout = Literal["long", "wide"]
DateOrder = Literal["ascending", "any"]
STRATEGY_HEADERS = ("strategy", "strategy_id")


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What the manifest says of a file. See `manifest.StrategyEntry` for the meaning of each."""

    strategy: str
    format: Format
    columns: Mapping[str, str]
    layout: Layout = "long"
    sheet: str | None = None
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    percent: bool = False
    blank_is_zero: bool = False
    cash_column: str = "cash"
    require: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ReadSpec:
        return cls(**json.loads(text))

    @property
    def required(self) -> dict[str, str]:
        """Header to the value that every row must have under it; a column that names the strategy is one."""
        own = dict.fromkeys(STRATEGY_HEADERS, self.strategy)
        return own | {normal(name): value for name, value in self.require.items()}

    def needs(self, header: str) -> bool:
        """Whether the column with this header is read."""
        if self.layout == "wide":
            return True
        name = normal(header)
        return name in self.required or name in ACCOUNT_HEADERS or name in {normal(v) for v in self.columns.values()}


ACCOUNT_HEADERS = frozenset({"account", "account_id"})


def normal(header: str) -> str:
    """A header without regard to case and the blanks around it."""
    return header.strip().casefold()
