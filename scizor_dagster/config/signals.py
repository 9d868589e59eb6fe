"""Where a portfolio's weights come from: the section `signals`, and mapping tables.

What belongs here: names, types and defaults. What does not: a strategy's own entry (`signals.manifest`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model, Name


class MappingTable(Model):
    """A table from a strategy's ids to tickers. Paths are relative to the configuration's folder."""

    file: str
    id_column: str = "asset_id"
    symbol_column: str = "symbol"
    on_ambiguous: Literal["refuse", "quarantine", "first_priced"] = "quarantine"


class SignalChoice(Model):
    mode: Literal["select"] = "select"
    strategy: Name
    as_of: Literal["exact", "latest"] = "exact"
    max_age_sessions: Annotated[int, Field(ge=0, le=260)] = 5
