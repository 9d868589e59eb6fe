"""Why a line of a plan looks as it does: one sentence for each reason code, with the line's own numbers.

What belongs here: the sentences. What does not: the decision (`planning.decisions`).
"""

from __future__ import annotations

from collections.abc import Callable

from scizor_dagster.analytics.explain.model import money, number
from scizor_dagster.analytics.explain.sizing import Sizing
from scizor_dagster.planning.model import PlanLine, Reason

_Said = Callable[[PlanLine, Sizing | None], str]


def reason_sentence(line: PlanLine, sizing: Sizing | None = None) -> str:
    """The line's reason in words.

    Args:
        line: As stored.
        sizing: Its numbers, where what the plan was made from is there; without it, limits go unnamed.
    """
    return _SENTENCES[line.reason](line, sizing)


def _change(line: PlanLine) -> str:
    verb = "buy" if line.delta_qty > 0 else "sell"
    return f"{verb} {number(abs(line.delta_qty))}"


def _worth(line: PlanLine) -> str:
    return "an unknown amount" if line.price is None else money(abs(line.delta_qty) * line.price)


def _minimum(sizing: Sizing | None) -> str:
    return "the minimum of an order" if sizing is None else f"the minimum of {money(sizing.minimum)} per order"


def _rebalance(line: PlanLine, _: Sizing | None) -> str:
    return f"{number(line.current_qty)} are held and {number(line.target_qty)} are wanted: {_change(line)}."


def _open(line: PlanLine, _: Sizing | None) -> str:
    return f"Nothing is held and {number(line.target_qty)} are wanted: {_change(line)}."


def _liquidate(line: PlanLine, _: Sizing | None) -> str:
    why = "No weight is left for it" if not line.target_weight else "Its target rounds to nothing"
    return f"{why}: all of the {number(line.current_qty)} held go ({_change(line)})."


def _cross_zero(line: PlanLine, _: Sizing | None) -> str:
    return (
        f"{number(line.current_qty)} are held and {number(line.target_qty)} are wanted, on the other side of zero: one "
        "order closes, and once it has filled a second one opens."
    )


def _on_target(line: PlanLine, sizing: Sizing | None) -> str:
    step = "one increment of quantity" if sizing is None else f"one increment of {number(sizing.step)}"
    return (
        f"{number(line.current_qty)} are held and {number(line.target_qty)} are wanted: the difference is smaller than "
        f"{step}, so nothing is ordered."
    )


def _below_minimum(line: PlanLine, sizing: Sizing | None) -> str:
    return f"To {_change(line)} is worth {_worth(line)}, less than {_minimum(sizing)}, so nothing is ordered."


def _dust(line: PlanLine, sizing: Sizing | None) -> str:
    least = _minimum(sizing)
    return f"The rest of {number(line.current_qty)} is worth {_held(line)}, and the broker sells nothing below {least}."


def _held(line: PlanLine) -> str:
    return "an unknown amount" if line.price is None else money(abs(line.current_qty) * line.price)


def _inside_band(line: PlanLine, sizing: Sizing | None) -> str:
    if sizing is None or sizing.held_value is None:
        return f"What is held ({number(line.current_qty)}) is within the no-trade band around its target: no order."
    away = abs(sizing.held_value - sizing.value)
    return (
        f"What is held is worth {money(sizing.held_value)} and its target {money(sizing.value)}: the difference of "
        f"{money(away)} is within the no-trade band of {money(sizing.band)} on each side, so nothing is ordered."
    )


def _no_cash(line: PlanLine, _: Sizing | None) -> str:
    return f"To {_change(line)} costs {_worth(line)}, for which what cannot be sold leaves no cash; it is withheld."


def _limit(line: PlanLine, _: Sizing | None) -> str:
    return f"To {_change(line)}, worth {_worth(line)}, is more than a limit of one order allows; it is withheld."


def _stale(line: PlanLine, _: Sizing | None) -> str:
    return f"Its newest price is of {line.price_session}, too old to size an order on; the holding stays as it is."


def _plainly(text: str) -> _Said:
    def said(line: PlanLine, _: Sizing | None) -> str:
        return text.format(held=number(line.current_qty), change=_change(line), worth=_worth(line))

    return said


_SENTENCES: dict[Reason, _Said] = {
    Reason.REBALANCE: _rebalance,
    Reason.OPEN: _open,
    Reason.LIQUIDATE: _liquidate,
    Reason.CROSS_ZERO: _cross_zero,
    Reason.ON_TARGET: _on_target,
    Reason.BELOW_MIN_NOTIONAL: _below_minimum,
    Reason.DUST: _dust,
    Reason.INSIDE_BAND: _inside_band,
    Reason.NO_CASH: _no_cash,
    Reason.LIMIT: _limit,
    Reason.STALE_PRICE: _stale,
    Reason.NO_PRICE: _plainly("It has no price, and no quantity is sized on an invented one; the {held} held stay."),
    Reason.BAD_PRICE: _plainly("Its price is no number that a share can cost; the {held} held stay."),
    Reason.NOT_TRADABLE: _plainly("It cannot be traded here; the {held} held stay."),
    Reason.NOT_SHORTABLE: _plainly("Its weight is negative and it may not be sold short; the {held} held stay."),
    Reason.AMBIGUOUS_ID: _plainly("Its id may mean several instruments, and none is guessed; what is held stays."),
    Reason.UNKNOWN_ID: _plainly("Its id leads to no instrument of the universe; its weight stays in cash."),
    Reason.QUARANTINED: _plainly("It is set aside: its price or its weight is not believed; the {held} held stay."),
    Reason.STRATEGY_IDLE: _plainly("Only strategies that are paused or stopped want it; the {held} held stay."),
    Reason.FROZEN: _plainly("An order of it has an unknown outcome, or its holding is in doubt; nothing is ordered."),
    Reason.CORPORATE_ACTION: _plainly("A corporate action changes its units or name; it waits for the next price."),
    Reason.TURNOVER_CAP: _plainly("What the turnover cap leaves of the change ({change}) is too small to order."),
    Reason.PARTICIPATION_CAP: _plainly("The allowed share of its volume leaves too little of {change} to order."),
    Reason.NO_VOLUME: _plainly("Its share of volume is limited, and the volume is not known; nothing is ordered."),
    Reason.PRICE_COLLAR: _plainly("Its price has moved too far to trade on, or no limit price is near enough."),
    Reason.OVERRIDE: _plainly("planning.overrides forbids the change ({change}, worth {worth})."),
    Reason.FOREIGN: _plainly("It is held in the account and owned by no portfolio: reported and left alone."),
    Reason.ACCOUNT_NET: _plainly("What other portfolios of the account hold would make another order of {change}."),
    Reason.HELD_BY_ORDER: _plainly("What would be sold is being sold by an open order already."),
    Reason.WASH_TRADE: _plainly("An open order of the other side would make the broker refuse it."),
    Reason.FIRST_PARCEL: _plainly("To {change} is worth {worth}, less than the venue's smallest first purchase."),
    Reason.NO_ATR: _plainly(
        "Its bracket needs an average true range that is not known; nothing is opened unprotected."
    ),
    Reason.MANUAL: _plainly("{held} are held, and a manual order asks to {change}."),
    Reason.KEPT: _plainly("What is held was bought by manual orders and is set apart: the rebalance leaves it alone."),
}
