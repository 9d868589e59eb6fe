"""Parameters that the routes of the data farmer share.

What belongs here: their bounds and words, once. What does not: what a name means (`known`).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import BeforeValidator

from scizor_dagster.api.problems import wrong_field
from scizor_dagster.api.security import Actor, Reach, require
from scizor_dagster.ledger.api_keys import Scope

Reader = Annotated[Actor, Depends(require(Scope.READ, Reach.SHARED))]
Keeper = Annotated[Actor, Depends(require(Scope.UPLOAD, Reach.SHARED))]
Operator = Annotated[Actor, Depends(require(Scope.ADMIN, Reach.SHARED))]
MarketName = Annotated[str, Query(max_length=31, description="Market of the configuration.", examples=["us"])]
InMarket = Annotated[str | None, Query(max_length=31, description="Its market, where the ticker is in several.")]
SymbolName = Annotated[
    str, Path(min_length=1, max_length=64, description="Ticker or id: `AAPL`, `AAPL.XNAS`.", examples=["AAPL"])
]
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written_out(value: Any) -> Any:
    # What is no more than a number would be taken for seconds since 1970.
    if value is not None and not (isinstance(value, str) and _ISO_DATE.fullmatch(value)):
        raise ValueError("a date is written as YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]
FirstDate = Annotated[Day | None, Query(description="First date.", examples=["2024-01-02"])]
LastDate = Annotated[Day | None, Query(description="Last date.", examples=["2024-12-31"])]


def check_range(first: date | None, last: date | None) -> None:
    """Refuse a range that ends before it begins.

    Raises:
        InputError: it does.
    """
    if first is not None and last is not None and first > last:
        raise wrong_field("query.start_date", f"{first} is after {last}.", "Swap them.")
