"""Backtests as the lake keeps them: one row that says what each is, and its curve, months, trades, holdings, decisions.

What belongs here: writing one whole, in one transaction, finding, listing and deleting. What does not: what the figures
mean (`figures`).

An id is the digest of everything that a backtest was made from, so that the same one is written once. A run that dies
before it ends has written nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from scizor_dagster.backtest.figures import Facts, Frames, decisions_frames, marks_of, positions_frames
from scizor_dagster.backtest.model import Result
from scizor_dagster.errors import InputError
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.tables import append_rows
from scizor_dagster.lake.whole import whole

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SOURCE = "backtest"
FRAMES = ("equity", "months", "trades", "instruments")
TABLES_OF = ("backtests", *(f"backtest_{name}" for name in (*FRAMES, "positions", "decisions")))
SHORT = 12
_ORDER = {"equity": "session", "months": "month", "trades": "session, symbol", "instruments": "symbol"}
_DROPPED = ("flows", "earlier_flows", "unpriced", "fees")
"""Columns of the curve that a backtest has no news in."""


@dataclass(frozen=True)
class Head:
    """What a backtest is, and what it was made from.

    Attributes:
        start: The close that the first return counts from; `capital` is the equity at it.
        equity: At the last session's close.
        request, choices, capabilities, rules: Canonical JSON.
        inputs_sha256: Of prices, actions and weights.
        lake_snapshot: The state of the lake that was read; None where all came from files.
        figures: As of `Frames`.
        stored_at: None while it is not stored.
    """

    backtest_id: str
    name: str
    portfolio: str
    market: str
    start: date
    first_session: date
    last_session: date
    sessions: int
    sessions_a_year: int
    instruments: int
    currency: str
    adjustment: str
    capital: float
    equity: float
    prices_from: str
    weights_from: str
    benchmark: str
    request: str
    rules: str
    choices: str
    capabilities: str
    inputs_sha256: str
    lake_snapshot: int | None
    code_version: str
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    stored_at: datetime | None = None

    @property
    def short(self) -> str:
        """As much of its id as a person types."""
        return self.backtest_id[:SHORT]

    @property
    def title(self) -> str:
        return self.name or self.portfolio or json.loads(self.request).get("strategy") or "backtest"


def store_backtest(lake: Lake, head: Head, frames: Frames, result: Result, facts: Facts, now: datetime) -> None:
    """Write everything of a backtest, or nothing; one that is there already stays as it is.

    `now` is aware, and becomes `fetched_at`.
    """
    assert now.tzinfo is not None, now
    with lake.write() as cursor:
        if _heads(cursor, "backtest_id = ?", [head.backtest_id]):
            return
        common: dict[str, Any] = {"backtest_id": head.backtest_id, "source": SOURCE, "fetched_at": now}
        append_rows(cursor, "backtests", _head_frame(head).assign(**common))
        equity = frames.equity.drop(columns=list(_DROPPED))
        for name, frame in (("equity", equity), *((name, getattr(frames, name)) for name in FRAMES[1:])):
            append_rows(cursor, f"backtest_{name}", frame.assign(**common))
        parts: tuple[tuple[str, Iterable[pd.DataFrame]], ...] = (
            ("positions", positions_frames(result, marks_of(result.history), facts.begins)),
            ("decisions", decisions_frames(result)),
        )
        for name, made in parts:
            for frame in made:
                append_rows(cursor, f"backtest_{name}", frame.assign(**common))


def _head_frame(head: Head) -> pd.DataFrame:
    import pandas as pd

    row: dict[str, Any] = asdict(head)
    row.pop("stored_at")
    figures = {name: value if math.isfinite(value) else None for name, value in head.figures.items()}
    row |= {"figures": json.dumps(figures, sort_keys=True), "notes": json.dumps(list(head.notes))}
    return pd.DataFrame([row]).astype({"lake_snapshot": "Int64"})


_COLUMNS = tuple(field.name for field in fields(Head) if field.name != "stored_at")


def _heads(cursor: duckdb.DuckDBPyConnection, where: str, key: list[Any]) -> list[Head]:
    chosen = f"SELECT {', '.join(_COLUMNS)}, fetched_at FROM {whole('backtests')} WHERE {where}"
    query = f"{chosen} ORDER BY fetched_at DESC, backtest_id"
    return [_head(row) for row in cursor.execute(query, key).fetchall()]


def _head(row: tuple[Any, ...]) -> Head:
    values = dict(zip((*_COLUMNS, "stored_at"), row, strict=True))
    figures = {name: math.nan if value is None else value for name, value in json.loads(values["figures"]).items()}
    return Head(**(values | {"figures": figures, "notes": tuple(json.loads(values["notes"]))}))


def list_backtests(lake: Lake) -> list[Head]:
    """Every stored one, the newest first."""
    with lake.read() as cursor:
        return _heads(cursor, "true", [])


def find_backtest(lake: Lake, backtest_id: str) -> Head | None:
    """The one with exactly this id."""
    with lake.read() as cursor:
        found = _heads(cursor, "backtest_id = ?", [backtest_id])
    return found[0] if found else None


def backtest_named(lake: Lake, name: str) -> Head:
    """The one whose id begins with `name`; else the newest one that a person called so, or that is listed so.

    Raises:
        InputError: there is none, or several ids begin so.
    """
    with lake.read() as cursor:
        found = _heads(cursor, "starts_with(backtest_id, ?)", [name.lower()])
        named = [] if found else _heads(cursor, "name = ?", [name])
        if not found and not named:
            named = [head for head in _heads(cursor, "name = ''", []) if head.title == name]
    if len(found) > 1:
        raise InputError(
            f"{len(found)} backtests begin with '{name}': {', '.join(one.backtest_id[:20] for one in found[:4])}.",
            remedy="Write more of the id.",
        )
    if not found and not named:
        raise InputError(f"There is no backtest '{name}'.", remedy="See which there are: scizor backtest list.")
    return (found or named)[0]


def read_frames(lake: Lake, backtest_id: str) -> Frames:
    """Frames of a stored backtest, equal to those that were stored."""
    import pandas as pd

    read: dict[str, Any] = {}
    with lake.read() as cursor:
        for name in FRAMES:
            read[name] = cursor.execute(
                f"SELECT * EXCLUDE (backtest_id, source, fetched_at) FROM backtest_{name} WHERE backtest_id = ? "
                f"ORDER BY {_ORDER[name]}",
                [backtest_id],
            ).fetch_df()
        [head] = _heads(cursor, "backtest_id = ?", [backtest_id])
    for name, column in (("equity", "session"), ("months", "month")):
        read[name][column] = pd.to_datetime(read[name][column]).dt.date
    read["equity"] = read["equity"].assign(flows=0.0, earlier_flows=0.0, unpriced=0, fees=read["equity"]["commission"])
    return Frames(**read, figures=head.figures)


@dataclass(frozen=True)
class Moment:
    """One instrument in one session of a backtest.

    Attributes:
        decided: The newest decision up to the session (session, weight, reason); None where no plan named it.
        trades: Rows of `backtest_trades` of the session.
        held: Row of `backtest_positions` at its close; None where nothing is held.
        before: The same of the session before.
    """

    session: date
    decided: Mapping[str, Any] | None
    trades: tuple[Mapping[str, Any], ...]
    held: Mapping[str, Any] | None
    before: Mapping[str, Any] | None


def moment_of(lake: Lake, backtest_id: str, symbol: str, session: date) -> Moment:
    """Weight, decision, fill and holding of an instrument in a session."""
    key = [backtest_id, symbol, session]
    of = "WHERE backtest_id = ? AND symbol = ? AND session"
    with lake.read() as cursor:
        decided = _dicts(
            cursor,
            f"SELECT session, weight, reason FROM backtest_decisions {of} <= ? ORDER BY session DESC LIMIT 1",
            key,
        )
        trades = _dicts(
            cursor, f"SELECT * EXCLUDE (backtest_id, source, fetched_at) FROM backtest_trades {of} = ?", key
        )
        position = "SELECT session, units, close, value FROM backtest_positions"
        held = _dicts(cursor, f"{position} {of} = ?", key)
        earlier = "(SELECT max(session) FROM backtest_equity WHERE backtest_id = $1 AND session < $3)"
        before = _dicts(cursor, f"{position} WHERE backtest_id = $1 AND symbol = $2 AND session = {earlier}", key)
    return Moment(session, _one(decided), tuple(trades), _one(held), _one(before))


def _dicts(cursor: duckdb.DuckDBPyConnection, query: str, key: list[Any]) -> list[dict[str, Any]]:
    found = cursor.execute(query, key)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _one(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return rows[0] if rows else None


def delete_backtest(lake: Lake, backtest_id: str) -> None:
    """Take a backtest out of every table, in one transaction."""
    with lake.write() as cursor:
        for table in TABLES_OF:
            cursor.execute(f"DELETE FROM {table} WHERE backtest_id = ?", [backtest_id])
