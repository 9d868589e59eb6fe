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
ACCOUNT_HEADERS = frozenset({"account", "account_id", "account_number"})
PORTFOLIO_HEADERS = frozenset({"portfolio", "portfolio_id"})
OWNER_HEADERS = ACCOUNT_HEADERS | PORTFOLIO_HEADERS
DATE_HEADERS = frozenset({"date", "trade_date"})
INDEX_HEADERS = frozenset({"", "index", "unnamed:_0", "_index_level_0_"})
"""What data frames call the column of their row numbers."""
_TICKER = re.compile(r"[A-Z0-9][A-Z0-9.\-/ ]*")
_OF_LONG_FILES = frozenset({
    "ticker", "symbol", "asset", "asset_id", "isin", "cusip", "weight", "weights", "target_weight",
})  # fmt: skip
"""Headers of long files under other names than ours: such a file is not wide, though each could be a ticker."""
_GAP = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose session a file is taken for: names of the account and the portfolio; empty where that is not known."""

    account: str = ""
    portfolio: str = ""


NOBODY = Owner()


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """What the manifest says of a file. See `manifest.StrategyEntry` for the meaning of each.

    Attributes:
        cash_rows: Whether a row of a long file whose id is `cash_column` is cash: the manifest names that column.
        account, portfolio: As of `Owner`.
    """

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
    cash_rows: bool = False
    require: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    portfolio: str = ""

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

    def owners(self, header: str) -> tuple[str, ...] | None:
        """What may stand in a column that names an account or a portfolio; None where the column does not.

        Empty where nothing says what may: then nothing may.
        """
        name = normal(header)
        if name not in OWNER_HEADERS or name in self.required or name in map(normal, self.columns.values()):
            return None
        known = (self.account,) if name in ACCOUNT_HEADERS else (self.portfolio, self.strategy)
        return tuple(filter(None, known))

    def needs(self, header: str) -> bool:
        """Whether the column with this header is read."""
        if self.layout == "wide":
            return True
        name = normal(header)
        return name in self.required or name in OWNER_HEADERS or name in map(normal, self.columns.values())

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
        if any(self.columns[name] != name for name in ours) or any(normal(name) in _OF_LONG_FILES for name in names):
            return False
        beside = DATE_HEADERS | INDEX_HEADERS | OWNER_HEADERS | self.required.keys()
        beside |= {normal(self.columns["trade_date"])}
        assets = [name for name in names if normal(name) not in beside]
        return bool(assets) and all(
            _TICKER.fullmatch(name) or normal(name) == normal(self.cash_column) for name in assets
        )


def normal(header: str) -> str:
    """A header without regard to case, the blanks around it, and whether words are parted by a blank or by `_`."""
    return _GAP.sub("_", header.strip().casefold())
