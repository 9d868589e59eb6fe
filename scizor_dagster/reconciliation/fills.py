"""Executions and payments: what the ledger has recorded against what the broker lists, by the broker's own ids.

What belongs here: yielding `Break`s of single fills and activities, and what has come since the first pass. What does
not: what follows from them for positions and cash (`explaining`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerFill
from scizor_dagster.ledger.activities import news_of
from scizor_dagster.ledger.rows import ActivityRow, FillRow, IntentRow
from scizor_dagster.reconciliation.model import (
    Break,
    BreakClass,
    BreakKind,
    BrokerView,
    LedgerView,
    Measures,
    Pass,
    Severity,
    Stage,
    When,
)
from scizor_dagster.reconciliation.orders import FOLLOW
from scizor_dagster.reconciliation.words import activity_text, fill_text, number
from scizor_dagster.risk.breaks import LockScope

ZERO = Decimal(0)
_BASIS_POINTS = 10_000
OF_UNITS = frozenset({"split", "delisting"})
OF_A_PERSON = frozenset({"deposit", "withdrawal"})


@dataclass(frozen=True)
class FillNews:
    """One execution on both sides; one of the two may be None.

    Attributes:
        owner: The portfolio whose order it is of; None for nobody's.
    """

    there: BrokerFill | None
    here: FillRow | None
    owner: str | None

    @property
    def either(self) -> BrokerFill | FillRow:
        found = self.there if self.there is not None else self.here
        assert found is not None
        return found

    @property
    def qty(self) -> Decimal:
        """Signed shares that the broker has beyond the ledger."""
        return _signed(self.there) - _signed(self.here)

    @property
    def cash(self) -> Decimal:
        """Signed cash, likewise."""
        return cash_of(self.there) - cash_of(self.here)

    @property
    def differs(self) -> bool:
        """One that was taken back is there for no shares, or dropped from the broker's list: both are the same."""
        if self.there is None or self.here is None:
            return self.either.qty != 0
        return fill_text(self.there) != fill_text(self.here)


def fill_news(ledger: LedgerView, broker: BrokerView, portfolio: str, planned: Collection[str] = ()) -> list[FillNews]:
    """Executions that are not the same on both sides, of whomever; a plan's lost orders are the portfolio's."""
    recorded = {row.fill_id: row for row in ledger.fills}
    parents = {row.client_order_id: row.parent_client_order_id for row in broker.orders}
    news = []
    for fill in broker.fills:
        name = parents.get(fill.client_order_id) or fill.client_order_id
        known = ledger.known_orders.get(name)
        owner = known.portfolio if known is not None else (portfolio if name in planned else None)
        news.append(FillNews(fill, recorded.pop(fill.fill_id, None), owner))
    news += [FillNews(None, row, row.portfolio) for row in recorded.values() if row.portfolio is not None]
    return [item for item in news if item.differs]


def fill_breaks(
    ledger: LedgerView,
    broker: BrokerView,
    portfolio: str,
    *,
    when: When | None = None,
    measures: Measures | None = None,
    planned: Collection[str] = (),
) -> Iterator[Break]:
    """Executions as they stand: of this portfolio and of nobody known."""
    intents = {row.client_order_id: row for row in ledger.intents}
    for item in fill_news(ledger, broker, portfolio, planned):
        if item.owner not in (portfolio, None):
            continue
        intent = intents.get(item.either.client_order_id)
        if item.here is None:
            yield _foreign(item) if item.owner is None else _unrecorded(item, intent, ledger, broker, when or When())
        elif item.there is None:
            yield _gone(item, item.here, ledger)
        else:
            yield _corrected(item, item.here, item.there, measures or Measures())


def _foreign(item: FillNews) -> Break:
    return Break(
        BreakKind.FOREIGN_FILL,
        item.either.symbol,
        item.either.client_order_id,
        "none",
        _text(item),
        Severity.INFO,
        "Not an order of Scizor's.",
        stage=Stage.FILLS,
        break_class=BreakClass.FOREIGN,
        cause="it is of an order that somebody else has placed",
        qty=item.qty,
        amount=item.cash,
    )


def _unrecorded(item: FillNews, intent: IntentRow | None, ledger: LedgerView, broker: BrokerView, when: When) -> Break:
    kind, cause = _why_unrecorded(item, intent, ledger, broker, when)
    coming = intent is not None and not intent.state.terminal and not when.session_over
    return Break(
        BreakKind.FILL_MISSING_IN_LEDGER,
        item.either.symbol,
        item.either.client_order_id,
        "none",
        _text(item),
        Severity.WORKING if coming else Severity.ERROR,
        FOLLOW if kind is not BreakClass.DUPLICATE else "Ask the broker which of the two stands. " + FOLLOW,
        stage=Stage.FILLS,
        break_class=kind,
        cause=cause,
        qty=item.qty,
        amount=item.cash,
        locks=LockScope.INSTRUMENT,
    )


def _why_unrecorded(
    item: FillNews, intent: IntentRow | None, ledger: LedgerView, broker: BrokerView, when: When
) -> tuple[BreakClass, str]:
    name = item.either.client_order_id
    of_order = [row for row in broker.fills if row.client_order_id == name]
    twin = _twin(item.either, of_order)
    shown = next((row.filled_qty for row in broker.orders if row.client_order_id == name), None)
    if twin is not None and shown is not None and sum((row.qty for row in of_order), ZERO) > shown:
        return BreakClass.DUPLICATE, f"it is {twin.fill_id} once more: the order has filled {number(shown)} in all"
    here = sum((row.qty for row in ledger.fills if row.client_order_id == name), ZERO)
    if intent is not None and intent.filled_qty > here:
        return BreakClass.MISSING, "the ledger has counted it with its order, and has lost its row"
    if intent is not None and intent.state.terminal:
        return BreakClass.LATE, f"it came after the ledger had seen its order end as {intent.state}"
    if when.which is Pass.SECOND:
        return BreakClass.LATE, "it came after the first pass"
    return BreakClass.MISSING, "nobody has recorded it yet"


def _gone(item: FillNews, row: FillRow, ledger: LedgerView) -> Break:
    """An execution that the broker lists no more: what it holds says whether it was taken back."""
    twin = _twin(row, [other for other in ledger.fills if other.client_order_id == row.client_order_id])
    taken_back = ledger.differences.get(row.symbol, ZERO) == item.qty
    remedy = f"The broker took the execution back, or its answer was incomplete. {FOLLOW}"
    if twin is not None and taken_back:
        kind, cause = BreakClass.DUPLICATE, f"the ledger has {twin.fill_id} twice, and the broker holds it once"
    elif taken_back:
        kind, cause = BreakClass.BUST, "the broker lists it no more, and does not hold its shares"
    else:
        kind, cause = BreakClass.MISSING, "the broker lists it no more, and holds what it has brought"
    return Break(
        BreakKind.FILL_MISSING_AT_BROKER,
        row.symbol,
        row.client_order_id,
        _text(item),
        "none",
        Severity.ERROR,
        remedy,
        stage=Stage.FILLS,
        break_class=kind,
        cause=cause,
        qty=item.qty,
        amount=item.cash,
        locks=LockScope.INSTRUMENT,
    )


def _corrected(item: FillNews, here: FillRow, there: BrokerFill, measures: Measures) -> Break:
    severity, locks = Severity.ERROR, LockScope.NONE
    if there.qty == 0:
        kind, cause, locks = BreakClass.BUST, "the broker has taken the execution back", LockScope.INSTRUMENT
    elif item.qty or there.symbol != here.symbol:
        kind, cause, locks = BreakClass.QUANTITY, "the broker has corrected its quantity", LockScope.INSTRUMENT
    elif there.price != here.price:
        kind, cause = BreakClass.PRICE, "the broker has corrected its price"
        if abs(there.price - here.price) * _BASIS_POINTS <= measures.price_bps * here.price:
            kind, severity = BreakClass.ROUNDING, Severity.INFO
            cause += f", by no more than {number(measures.price_bps)} basis points"
    else:
        kind, cause = BreakClass.DIVIDEND_OR_FEE, "the broker has corrected its fee"
    return Break(
        BreakKind.FILL_DIFFERS,
        there.symbol,
        there.client_order_id,
        f"{here.fill_id}: {fill_text(here)}",
        fill_text(there),
        severity,
        "The broker has corrected the execution. " + FOLLOW,
        stage=Stage.FILLS,
        break_class=kind,
        cause=cause,
        qty=item.qty or None,
        amount=item.cash,
        locks=locks,
    )


def activity_breaks(ledger: LedgerView, broker: BrokerView) -> Iterator[Break]:
    """Splits, dividends and payments that the ledger has not recorded, or has otherwise."""
    recorded = {row.activity_id: row for row in ledger.activities}
    news = news_of(broker.activities, ledger.activities)
    for there in broker.activities:
        here = recorded.get(there.activity_id)
        if here is None and there not in news:
            continue
        if here is not None and (here.amount, here.qty_factor) == (there.amount, there.qty_factor):
            continue
        of_units = there.kind in OF_UNITS
        yield Break(
            BreakKind.ACTIVITY_MISSING_IN_LEDGER if here is None else BreakKind.ACTIVITY_DIFFERS,
            there.symbol,
            None,
            "none" if here is None else activity_text(here),
            activity_text(there),
            Severity.ERROR,
            FOLLOW if here is None else "Ask the broker which one stands; the ledger keeps what it was told first.",
            stage=Stage.POSITIONS if of_units else Stage.CASH,
            break_class=activity_class(there),
            cause=f"the broker's {there.kind} " + ("is not recorded" if here is None else "was recorded otherwise"),
            amount=there.amount - (ZERO if here is None else here.amount),
            locks=LockScope.INSTRUMENT if of_units else LockScope.NONE,
        )


def activity_class(activity: BrokerActivity | ActivityRow) -> BreakClass:
    """What money or units are that came without a trade."""
    if activity.kind in OF_UNITS:
        return BreakClass.CORPORATE_ACTION
    return BreakClass.FOREIGN if activity.kind in OF_A_PERSON else BreakClass.DIVIDEND_OR_FEE


def came_late(ledger: LedgerView, portfolio: str, when: When) -> Iterator[Break]:
    """What was recorded since the first pass: both sides agree on it, and a person should know."""
    if when.first_at is None:
        return
    for row in ledger.fills:
        if row.recorded_at <= when.first_at or row.portfolio not in (portfolio, None):
            continue
        kind, cause = BreakClass.LATE, "it came after the first pass"
        if row.qty == 0:
            kind, cause = BreakClass.BUST, "it was taken back after the first pass"
        elif row.version > 1:
            kind, cause = BreakClass.LATE, "it was corrected after the first pass"
        yield _late(row.symbol, row.client_order_id, f"{row.fill_id}: {fill_text(row)}", kind, cause, Stage.FILLS)
    for activity in ledger.activities:
        if activity.recorded_at > when.first_at:
            stage = Stage.POSITIONS if activity.kind in OF_UNITS else Stage.CASH
            text, kind = activity_text(activity), activity_class(activity)
            yield _late(activity.symbol, None, text, kind, "it became known after the first pass", stage)


def _late(symbol: str | None, name: str | None, text: str, kind: BreakClass, cause: str, stage: Stage) -> Break:
    return Break(
        BreakKind.CAME_LATE,
        symbol,
        name,
        "none at the first pass",
        text,
        Severity.INFO,
        "Nothing: it is recorded, and the books have it.",
        stage=stage,
        break_class=kind,
        cause=cause,
    )


def fills_by_order(fills: Sequence[FillRow]) -> Mapping[str, list[FillRow]]:
    found: defaultdict[str, list[FillRow]] = defaultdict(list)
    for row in fills:
        found[row.client_order_id].append(row)
    return found


def cash_of(fill: FillRow | BrokerFill | None) -> Decimal:
    """Signed cash of an execution, its fee taken off; zero for none."""
    return ZERO if fill is None else -_signed(fill) * fill.price - fill.fee


def _signed(fill: FillRow | BrokerFill | None) -> Decimal:
    return ZERO if fill is None else fill.qty * fill.side.sign


def _text(item: FillNews) -> str:
    return f"{item.either.fill_id}: {fill_text(item.either)}"


def _twin(fill: BrokerFill | FillRow, others: Iterable[BrokerFill | FillRow]) -> BrokerFill | FillRow | None:
    """Another execution with the same terms, at the same instant."""
    same = (row for row in others if row.fill_id != fill.fill_id and row.executed_at == fill.executed_at)
    return next((row for row in same if fill_text(row) == fill_text(fill)), None)
