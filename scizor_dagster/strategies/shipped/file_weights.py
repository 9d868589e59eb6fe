"""Weights that a file states: for a backtest of what was delivered, beside strategies that compute theirs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from scizor_dagster.errors import InputError, SignalRefused
from scizor_dagster.signals.manifest import StrategyEntry
from scizor_dagster.signals.readers import read_bytes, read_rows
from scizor_dagster.signals.spec import Format, Layout
from scizor_dagster.strategies.prices import Prices
from scizor_dagster.strategies.protocol import Parameters


class FileWeightsParameters(Parameters):
    """Which file, and how it is read; the keys mean what they mean in the strategy manifest.

    Attributes:
        path: The weight file; relative to the working directory.
        date_column, asset_column, weight_column: Headers of a long file.
    """

    NAMES_FILES: ClassVar[bool] = True

    path: str
    format: Format = "csv"
    layout: Layout = "auto"
    weights_dated: Literal["trade_session", "signal_close"] = "trade_session"
    date_column: str = "trade_date"
    asset_column: str = "asset_id"
    weight_column: str = "target_weight"

    def window(self) -> int | None:
        return 1


def weights(prices: Prices, parameters: FileWeightsParameters) -> dict[str, float] | None:
    """Weights that a file states for the session: read and refused as a delivered file is, made by nobody here.

    Dates mean `trade_session` (the session that follows this close) or `signal_close` (this close). A session that the
    file does not name has no decision. An asset without a price then is left out, and its weight stays in cash.
    """
    day = prices.last if parameters.weights_dated == "signal_close" else prices.trades_in
    if day is None:
        raise InputError(
            f"The session after {prices.last} is not known, which the file's dates mean.",
            remedy="Use weights_dated: signal_close, or a history that goes on.",
            where=parameters.path,
        )
    rows = _read(parameters)
    if day not in rows:
        return None
    return {symbol: weight for symbol, weight in rows[day].items() if symbol in set(prices.symbols)}


_read_before: dict[tuple[str, str], dict[object, dict[str, float]]] = {}


def _read(parameters: FileWeightsParameters) -> dict[object, dict[str, float]]:
    """Weights by date; the same content is parsed once in a process."""
    columns = {
        parameters.date_column: "trade_date",
        parameters.asset_column: "asset_id",
        parameters.weight_column: "target_weight",
    }
    mapped = {} if parameters.layout == "wide" else {theirs: ours for theirs, ours in columns.items() if theirs != ours}
    entry = StrategyEntry.model_validate(
        {
            "id": "file_weights",
            "path": str(Path(parameters.path).absolute()),
            "format": parameters.format,
            "layout": parameters.layout,
            "column_mapping": mapped,
        }
    )
    file, unusable = read_bytes(entry)
    key = (file.file_hash, parameters.model_dump_json())
    if not unusable and key in _read_before:
        return _read_before[key]
    reading = read_rows(entry, file) if not unusable else None
    if reading is None or reading.rows is None or reading.violations.listed():
        found = unusable or (reading.violations.listed() if reading is not None else ())
        raise SignalRefused("file_weights", entry.path, found)
    made: dict[object, dict[str, float]] = {}
    for day, asset, weight in zip(reading.rows.dates, reading.rows.asset_ids, reading.rows.weights, strict=True):
        made.setdefault(day, {})[asset] = float(weight)
    _read_before.clear()
    _read_before[key] = made
    return made
