"""Markets and their price providers: the section `markets`.

What belongs here: names, types and defaults. What does not: reading prices (`market_data`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model


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
