"""Costs of orders, and the models learned from them, as the lake keeps them.

What belongs here: the rows of `order_costs` and `cost_models`, and the model that a session may know. What does not:
measuring (`costs`, `flow.costs`), sums (`costs_summary`).

Money and shares travel as text, so that what is read back is equal to what was stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from scizor_dagster.analytics.costs import PARTS, Part
from scizor_dagster.analytics.costs_model import ASSUMED, FREE, Commission, CostModel
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.whole import whole

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SOURCE = "costs"
Scope = Literal["portfolio", "market"]


@dataclass(frozen=True, slots=True)
class OrderCost:
    """One row of `order_costs`: an order, or the exit of a bracket, in the units of its session.

    Attributes:
        kind: `order`, or `exit` for a leg of a bracket that has filled.
        venue: Where it went: `paper` for the embedded exchange, else broker and environment (`ibkr/live`).
        replanned_qty: Unfilled shares that a later plan of the session took over; None in rows of earlier versions.
        unit_factor: Shares of the session for one of the plan, where a split lies between.
        dividend: Per share, gone ex between decision and session; the decision's price is net of it.
        decision_source: What the price is of; it and the like say why where there is no price.
        delay: This and the other parts are money; None where unknown, with the reason in `unknown`.
        unknown: Reasons by part.
        left_out: Parts that are not in `total`.
        adv: Average daily volume in shares before the session; None where it is not known.
        volatility: Standard deviation of the daily return before the session, a fraction.
        estimated_spread: Money, as the model of before the session had it for the planned quantity.
        model_session: Last session that this model knew; None for the bare assumption.
    """

    portfolio: str
    session: date
    client_order_id: str
    symbol: str
    side: Side
    kind: str
    order_type: str
    state: str
    reason: str
    venue: str
    currency: str
    planned_qty: Decimal
    sent_qty: Decimal
    filled_qty: Decimal
    unit_factor: Decimal
    dividend: Decimal
    decision_price: Decimal | None
    decision_source: str
    arrival_price: Decimal | None
    arrival_source: str
    open_price: Decimal | None
    close_price: Decimal | None
    vwap_price: Decimal | None
    decision_value: Decimal | None
    filled_value: Decimal
    delay: Decimal | None
    spread: Decimal | None
    impact: Decimal | None
    fees: Decimal
    missed: Decimal | None
    total: Decimal | None
    unknown: Mapping[Part, str]
    left_out: tuple[Part, ...]
    total_bps: float | None
    against_decision: Decimal | None
    against_arrival: Decimal | None
    against_open: Decimal | None
    against_close: Decimal | None
    against_vwap: Decimal | None
    half_spread_bps: Decimal | None
    spread_source: str
    adv: float | None
    volatility: float | None
    estimated_spread: float | None
    estimated_impact: float | None
    estimated_fees: float | None
    model_session: date | None
    adjustment: str
    synthetic: bool
    replanned_qty: Decimal | None = None

    @property
    def missed_qty(self) -> Decimal:
        """Shares that were planned, not filled, and not planned again; negative where more was filled."""
        return self.planned_qty - self.filled_qty - (self.replanned_qty or 0)

    @property
    def size(self) -> float | None:
        """Planned shares over the average daily volume."""
        return float(self.planned_qty) / self.adv if self.adv else None

    def part(self, part: Part) -> Decimal | None:
        found: Decimal | None = getattr(self, part.value)
        return found


COLUMNS = tuple(field.name for field in fields(OrderCost))
_EXACT = frozenset(field.name for field in fields(OrderCost) if str(field.type).startswith("Decimal"))
_FLOATS = frozenset(field.name for field in fields(OrderCost) if str(field.type).startswith("float"))
_MODEL = (
    "half_spread_bps", "impact_coefficient", "half_spread_error", "impact_error", "commission", "orders", "sessions",
    "session", "fitted", "note",
)  # fmt: skip


def cost_frame(rows: Sequence[OrderCost]) -> pd.DataFrame:
    """The rows as the lake's table has them."""
    import pandas as pd

    frame = pd.DataFrame([[_stored(getattr(row, name)) for name in COLUMNS] for row in rows], columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(_FLOATS, "float64"))


def store_costs(
    lake: Lake, portfolio: str, session: date, rows: Sequence[OrderCost], models: Mapping[tuple[Scope, str], CostModel],
    now: datetime, *, venue: str | None = None,
) -> None:  # fmt: skip
    """Replace a session's costs, and the models that know it, in one transaction.

    `venue` is where the portfolio trades.
    """
    from scizor_dagster.lake.tables import replace_rows

    with lake.write() as cursor:
        frame = cost_frame(rows).assign(source=SOURCE, fetched_at=now)
        replace_rows(cursor, "order_costs", frame, "portfolio = ? AND session = ?", [portfolio, session])
        for (scope, name), model in models.items():
            frame = _model_frame(scope, name, session, model).assign(venue=venue, source=SOURCE, fetched_at=now)
            where = "scope = ? AND name = ? AND session = ?"
            replace_rows(cursor, "cost_models", frame, where, [scope, name, session])


def read_costs(lake: Lake, portfolio: str, first: date = date.min, last: date = date.max) -> list[OrderCost]:
    """Stored costs of a portfolio's sessions, both included, by session and symbol."""
    with lake.read() as cursor:
        return _read(cursor, "portfolio = ? AND session BETWEEN ? AND ?", [portfolio, first, last])


def _read(cursor: duckdb.DuckDBPyConnection, where: str, key: Sequence[Any]) -> list[OrderCost]:
    found = cursor.execute(
        f"SELECT {', '.join(COLUMNS)} FROM {whole('order_costs')} WHERE {where} "
        "ORDER BY portfolio, session, symbol, client_order_id",
        key,
    ).fetchall()
    return [OrderCost(*[_typed(name, value) for name, value in zip(COLUMNS, row, strict=True)]) for row in found]


def cost_model(
    lake: Lake,
    name: str,
    as_of: date,
    kind: Scope | None = None,
    *,
    commission: Commission = FREE,
    venue: str | None = None,
) -> CostModel:
    """The newest model that somebody trading session `as_of` could have known: it knows no order of that day or later.

    Args:
        lake: Where models are kept.
        name: Of a portfolio, or of a market.
        as_of: The session that is traded, or simulated.
        kind: Whether `name` is a portfolio's or a market's; None looks for the portfolio first.
        commission: What the broker takes, where nothing is stored that says so.
        venue: Where the orders that it was learned from must have gone; None for anywhere.

    Returns:
        The assumption `costs_model.ASSUMED`, with `commission`, where no model is stored from before.
    """
    with lake.read() as cursor:
        rows = cursor.execute(
            f"SELECT {', '.join(_MODEL)} FROM {whole('cost_models')} WHERE name = $name AND session < $as_of "
            "AND scope = coalesce($kind, scope) AND coalesce(venue = $venue, TRUE) "
            "ORDER BY scope = 'portfolio' DESC, session DESC LIMIT 1",
            {"name": name, "as_of": as_of, "kind": kind, "venue": venue},
        ).fetchall()
    if not rows:
        return CostModel(
            ASSUMED.half_spread_bps, ASSUMED.impact_coefficient, ASSUMED.half_spread_error, ASSUMED.impact_error,
            commission, note=ASSUMED.note,
        )  # fmt: skip
    found = dict(zip(_MODEL, rows[0], strict=True))
    return CostModel(**(found | {"commission": Commission.read(found["commission"])}))


def _model_frame(scope: Scope, name: str, session: date, model: CostModel) -> pd.DataFrame:
    import pandas as pd

    row = {column: getattr(model, column) for column in _MODEL} | {"commission": model.commission.text()}
    return pd.DataFrame([row | {"scope": scope, "name": name, "session": session}])


def _stored(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, tuple):
        return json.dumps([str(part) for part in value])
    if isinstance(value, Mapping):
        return json.dumps({str(part): text for part, text in value.items()})
    return str(value) if isinstance(value, str) else value


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _EXACT:
        return Decimal(value)
    if name == "side":
        return Side(value)
    if name == "unknown":
        return {Part(part): text for part, text in json.loads(value).items()}
    if name == "left_out":
        return tuple(part for part in PARTS if part.value in json.loads(value))
    if name in _FLOATS:
        return None if value != value else float(value)
    return value
