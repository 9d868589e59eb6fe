"""How one file is to be read, in plain values that cross a process boundary.

What belongs here: the part of a strategy's entry that the readers need. What does not: the entry
itself and its checks (`manifest`); this module imports none of them, so that a reader starts quickly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

Format = Literal["csv", "xlsx", "parquet", "json"]
Layout = Literal["auto", "long", "wide"]
DateOrder = Literal["ascending", "any"]
STRATEGY_HEADERS = ("strategy", "strategy_id")
DATE_HEADERS = frozenset({"date", "trade_date"})
INDEX_HEADERS = frozenset({"", "unnamed: 0", "__index_level_0__"})
"""What data frames call the column of their row numbers."""
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-/ ]*")


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What the manifest says of a file. See `manifest.StrategyEntry` for the meaning of each."""

    strategy: str
    format: Format
    columns: Mapping[str, str]
    layout: Layout = "auto"
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

    def settled(self, header: Sequence[str]) -> ReadSpec:
        """The same with a layout that is known: where the manifest leaves it open, the header says.

        A file is wide where the manifest maps no column of assets or weights, the file has none under our names,
        and every column beside the dates has the name of a ticker or of cash.
        """
        if self.layout != "auto":
            return self
        return replace(self, layout="wide" if self._names_assets(header) else "long")

    def _names_assets(self, header: Sequence[str]) -> bool:
        ours = ("asset_id", "target_weight")
        names = [name.strip() for name in header]
        if any(self.columns[name] != name for name in ours) or any(normal(name) in ours for name in names):
            return False
        beside = DATE_HEADERS | INDEX_HEADERS | ACCOUNT_HEADERS | self.required.keys()
        beside |= {normal(self.columns["trade_date"])}
        assets = [name for name in names if normal(name) not in beside]
        return bool(assets) and all(
            _TICKER.fullmatch(name) or normal(name) == normal(self.cash_column) for name in assets
        )


ACCOUNT_HEADERS = frozenset({"account", "account_id"})


def normal(header: str) -> str:
    """A header without regard to case and the blanks around it."""
    return header.strip().casefold()
