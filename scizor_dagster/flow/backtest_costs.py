"""What trading costs in a backtest: as learned of the portfolio, else as its broker charges, else as the request says.

What belongs here: which of them counts, and the sentence that says so. What does not: the models (`analytics`), and
taking the costs (the engine).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from scizor_dagster.analytics.costs_model import BASIS_POINTS, CostModel
from scizor_dagster.analytics.costs_store import cost_model
from scizor_dagster.backtest.model import ActionKind, Costs, History
from scizor_dagster.backtest.request import COMMISSION, COSTS, BacktestRequest
from scizor_dagster.config import PaperAccount
from scizor_dagster.flow.backtest_prices import PriceSource
from scizor_dagster.flow.costs_learning import commission_for
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.measured import venue_of

_FEWEST_MOVES = 20
_MOVES = 250


def costs_for(
    desk: Desk, request: BacktestRequest, prices: PriceSource, history: History, begins: int
) -> tuple[Costs, dict[str, Costs], str]:
    """Costs of all instruments, those of single symbols in their place, and where they come from.

    A learned impact is Y sigma sqrt(participation): with the daily volatility of each symbol in the year before the
    first session that trades (`begins` is the row of the close before it), it is that many basis points for a whole
    session's volume. Model and volatilities are what was known then: neither knows anything of the backtest's own time.
    """
    common, each, said = Costs(), dict[str, Costs](), ""
    if request.portfolio is not None:
        common, each, said = _of_portfolio(desk, request.portfolio, prices, history, begins)
    given = _given(request)
    if not given:
        return common, each, said or "No costs: none were given."
    told = ", ".join(
        [f"{name} {getattr(request, name):g}" for name in (*COMMISSION, *COSTS) if _has(request, name)]
        + ["short_proceeds_earn"] * request.short_proceeds_earn
    )
    whole = f"{said} In place of that, as given: {told}." if said else f"Costs as given: {told}."
    return _with(common, given), {name: _with(one, given) for name, one in each.items()}, whole


def _has(request: BacktestRequest, name: str) -> bool:
    return getattr(request, name) is not None


def _given(request: BacktestRequest) -> dict[str, Any]:
    """Values of the request by name of `Costs`; those of the commission under `commission`."""
    found: dict[str, Any] = {name: getattr(request, name) for name in COSTS if _has(request, name)}
    if request.short_proceeds_earn:
        found["short_proceeds_earn"] = True
    commission = {ours: getattr(request, name) for name, ours in COMMISSION.items() if _has(request, name)}
    return found | ({"commission": commission} if commission else {})


def _with(costs: Costs, given: dict[str, Any]) -> Costs:
    values = dict(given)
    if "commission" in values:
        values["commission"] = replace(costs.commission, **values["commission"])
    assert values.keys() <= {item.name for item in fields(Costs)}
    return replace(costs, **values)


def _of_portfolio(
    desk: Desk, portfolio: str, prices: PriceSource, history: History, begins: int
) -> tuple[Costs, dict[str, Costs], str]:
    first = history.sessions[min(begins + 1, len(history.sessions) - 1)]
    model = _learned(desk, portfolio, first)
    if model is not None:
        moves = volatilities(_year_before(prices, history, begins))
        if moves:
            return _of_model(portfolio, model, moves)
    costs, said = _as_charged(desk, portfolio)
    return costs, {}, " ".join(filter(None, (said, _known_later(desk, portfolio, model, first))))


def _year_before(prices: PriceSource, history: History, begins: int) -> History:
    """Prices up to the close that the first plan is made on, of as many sessions as a volatility is measured over."""
    day = history.sessions[begins]
    before = replace(prices, request=prices.request.model_copy(update={"first": None, "last": day}))
    return before.history(frozenset(item.symbol for item in history.instruments), day, _MOVES)


def _of_model(portfolio: str, model: CostModel, moves: Mapping[str, float]) -> tuple[Costs, dict[str, Costs], str]:
    def impact(sigma: float) -> float:
        return model.impact_coefficient * sigma * BASIS_POINTS

    # What was not listed yet had no volatility; that of the others is nearer than none.
    common = Costs(
        commission=model.commission,
        half_spread_bps=model.half_spread_bps,
        impact_bps=impact(float(np.median(list(moves.values())))),
    )
    each = {symbol: replace(common, impact_bps=impact(sigma)) for symbol, sigma in moves.items()}
    return (
        common,
        each,
        f"Costs as learned from {model.orders} orders of portfolio '{portfolio}' up to {model.session}: half a "
        f"spread of {model.half_spread_bps:.2f} bps, impact of {model.impact_coefficient:.2f} volatilities for a "
        "session's volume, and its broker's commission. Volatilities are those of the year before the first session; "
        "of what had none yet, the median of the others.",
    )


def _known_later(desk: Desk, portfolio: str, model: CostModel | None, first: date) -> str:
    """A sentence on a model that is not used, because nobody had it when the backtest begins."""
    if model is not None:
        return "What was learned of its orders is not used: no volatility is known from before the first session."
    newest = _learned(desk, portfolio, desk.clock().date() + timedelta(days=1))
    if newest is None:
        return ""
    return (
        f"What was learned of its orders up to {newest.session} is not used, for nobody knew it in {first}: half a "
        f"spread of {newest.half_spread_bps:.2f} bps, impact of {newest.impact_coefficient:.2f} volatilities. To "
        "take them all the same, give --half-spread-bps and --impact-bps."
    )


def _as_charged(desk: Desk, portfolio: str) -> tuple[Costs, str]:
    settings = desk.portfolio(portfolio)
    account, commission = desk.account(settings.account), commission_for(desk, portfolio)
    if isinstance(account, PaperAccount):
        venue = account.exchange
        costs = Costs(
            commission=commission,
            half_spread_bps=venue.half_spread_bps,
            impact_bps=venue.impact_bps,
            max_participation=venue.max_participation,
        )
        return (
            costs,
            f"Costs of account '{settings.account}' at the embedded exchange: half a spread of "
            f"{venue.half_spread_bps:g} bps, impact of {venue.impact_bps:g} bps for a session's volume, at most "
            f"{venue.max_participation:.0%} of it.",
        )
    return (
        Costs(commission=commission),
        f"Costs by the tariff of {account.broker}: its commission. No spread and no impact, for nothing was learned "
        "yet of what orders cost; give them with --half-spread-bps and --impact-bps.",
    )


def _learned(desk: Desk, portfolio: str, as_of: date) -> CostModel | None:
    """The model that was learned before a session; None where there was nothing to learn from."""
    if not desk.has_lake:
        return None
    found = cost_model(desk.lake, portfolio, as_of, "portfolio", venue=venue_of(desk, portfolio))
    return found if found.fitted else None


def volatilities(history: History) -> dict[str, float]:
    """Standard deviation of the daily return by symbol, a fraction; without those of too few returns.

    Returns of a session with a split are left out: its price is of another unit.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = history.close[1:] / history.close[:-1] - 1
    for action in history.actions:
        if action.kind is ActionKind.SPLIT:
            moves[action.row - 1, action.column] = np.nan
    found = {}
    for at, instrument in enumerate(history.instruments):
        known = moves[:, at][~np.isnan(moves[:, at])]
        if len(known) >= _FEWEST_MOVES:
            found[instrument.symbol] = float(known.std(ddof=1))
    return found
