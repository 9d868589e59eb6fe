"""Real splits replayed through planner and executor: whoever hears of one when, no order is in wrong units.

Twelve instruments split on one day (each of four real or made ratios held long, held short, and targeted but not held),
beside one that does not. Source and broker know of it in time, a session late, or never.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pytest

from scizor_dagster.brokers.protocol import BrokerActivity, BrokerIdentity
from scizor_dagster.config import DEFAULT_LIMITS
from scizor_dagster.errors import ScizorError
from scizor_dagster.flow.continuity import Closes, suspected_actions, suspected_before, unbooked_splits
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.symbols import refresh_symbols
from scizor_dagster.flow.trades import trade_session
from scizor_dagster.ledger.activities import record_activity
from scizor_dagster.ledger.adoptions import adopt
from scizor_dagster.ledger.breaks import Looked, accept_break, record_breaks
from scizor_dagster.ledger.rows import intents_of_session
from scizor_dagster.market_data.fallback import FallbackMarket
from scizor_dagster.market_data.provider import ACTION_COLUMNS, LatestPrice
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.sessions import TradingCalendar
from tests.execution.model_broker import ModelBroker
from tests.flow.desks import add_action
from tests.ledger.lived import a_break
from tests.projects import project_at, small_project, write_universe, write_weights

D = Decimal
XNYS = TradingCalendar("XNYS")
EX = date(2021, 3, 2)
NEXT = date(2021, 3, 3)
EVE = date(2021, 3, 1)
EVENTS = {
    "SEV": ("aapl", "2014-06-09", D(7)),
    "FOU": ("aapl", "2020-08-31", D(4)),
    "EIG": ("uso", "2020-04-29", 1 / D(8)),
    "TWF": ("ibm", "2014-06-09", 1 / D(25)),
}
"""The first three are real; the fourth is IBM's prices, times 25 from the day on."""
CALM = "SPY"
HELD = {"L": 280, "S": -200}
SYMBOLS = [*(event + kind for event in EVENTS for kind in "LST"), CALM]
WHEN = ("in time", "late", "never")
ROOM = 1.4


def morning(session: date) -> datetime:
    return XNYS.open_at(session) + timedelta(minutes=5)


def window(data: Path, name: str, day: str) -> pd.DataFrame:
    """Forty sessions before a real day and two from it on, moved to `EX`."""
    path = data / "lean_raw_with_actions" / "daily" / f"{name}.zip"
    with ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        bars = pd.read_csv(file, header=None, names=["session", "open", "high", "low", "close", "volume"])
    bars["session"] = pd.to_datetime(bars["session"].str[:8])
    at = int(bars.index[bars["session"] == day][0])
    bars = bars.iloc[at - 40 : at + 2].copy()
    bars[["open", "high", "low", "close"]] /= 10_000
    days = XNYS.sessions(XNYS.session_on_or_after(EX - timedelta(days=90)), NEXT)[-42:]
    return bars.assign(session=days)


def prices(data: Path) -> pd.DataFrame:
    parts = [window(data, "spy", "2014-06-09").assign(symbol=CALM)]
    for event, (name, day, ratio) in EVENTS.items():
        bars = window(data, name, day)
        if name == "ibm":
            after = bars["session"] >= EX
            bars.loc[after, ["open", "high", "low", "close"]] /= float(ratio)
        parts += [bars.assign(symbol=event + kind) for kind in "LST"]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, reference_data: Path) -> Path:
    """The project on the morning of the split, its holdings adopted."""
    folder = tmp_path_factory.mktemp("splits")
    bars = prices(reference_data)
    bars.to_csv(folder / "prices.csv", index=False)
    files = {"type": "files", "path": "prices.csv", "format": "csv", "adjustment": "raw"}
    # What was adopted is no gain, and what a split seems to lose is no loss: other limits would stop everything.
    limits = DEFAULT_LIMITS.model_dump() | {"restricted": []}
    limits |= dict.fromkeys(("max_equity_jump", "max_day_loss", "max_drawdown", "max_adv_share"), "unlimited")
    free = {"max_open_breaks": "unlimited", "max_break_value_pct": "unlimited"}
    small_project(
        folder,
        markets={"us": {"first_session": date(2021, 1, 4), "provider": files}},
        weights={"allow_short": True},
        risk={"limits": limits},
        reconciliation=free,
    )
    write_universe(folder / "universe.csv", SYMBOLS)
    shares = {"L": 0.04, "S": -0.03, "T": 0.05}
    first = {name: shares.get(name[-1], 0.02) for name in SYMBOLS}
    # The calm one is sold on both days: a purchase would wait for the sales that are held back.
    second = {name: 1.2 * share if name != CALM else 0.01 for name, share in first.items()}
    write_weights(folder / "weights.csv", {EX: first, NEXT: second})
    desk = Desk(project_at(folder).settings, lambda: morning(EX))
    refresh_symbols(desk, "us")
    fill_history(desk, "us", (2021, 2021), None)
    with desk.ledger.transaction() as connection:
        for name in SYMBOLS:
            if qty := (HELD | {"Y": 50}).get(name[-1]):
                close = bars[(bars["symbol"] == name) & (bars["session"] == EVE)]["close"].iloc[0]
                named = {
                    "price": D(str(close)),
                    "session": XNYS.previous_session(EVE),
                    "actor": "jo",
                    "now": morning(EVE),
                }
                adopt(connection, "paper", "main", name, D(qty), **named)
    for store in (desk.lake, desk.ledger):
        store.close()
    return folder


class Quoted:
    """The files' source with quotes of the moment beside them."""

    lookup_calls = "one"

    def __init__(self, source: Any) -> None:
        self.source, self.quotes, self.asked = source, dict[str, LatestPrice](), list[tuple[str, ...]]()
        self.lists = list[tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def latest_prices(self, symbols: Sequence[str], now: datetime) -> tuple[LatestPrice, ...]:
        self.asked.append(tuple(symbols))
        return tuple(self.quotes[name] for name in symbols if name in self.quotes)

    def corporate_actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        rows = [row for row in self.lists if row[0] in symbols and first <= row[1] <= last]
        frame = pd.DataFrame(rows, columns=["symbol", "ex_session", "kind", "ratio"]).reindex(columns=ACTION_COLUMNS)
        return frame.astype({"ex_session": "datetime64[s]", "ratio": "float64", "amount": "float64"})


@dataclass
class World:
    """One account at a broker whose books the test adjusts, and one source whose lists it fills."""

    folder: Path
    now: datetime
    broker: ModelBroker
    source: Quoted
    opens: dict[tuple[str, date], Decimal]
    desk: Desk = field(init=False)
    refused: list[str] = field(default_factory=list)

    def true_price(self, symbol: str, session: date) -> Decimal:
        return self.opens[symbol, session]

    def open_on(self, session: date, *, quoted: bool = True) -> None:
        self.now = morning(session)
        self.broker.prices = {name: self.true_price(name, session) for name in SYMBOLS}
        at = XNYS.open_at(session)
        quotes = {name: LatestPrice(name, price, at, "feed") for name, price in self.broker.prices.items()}
        self.source.quotes = quotes if quoted else {}

    def book(self, session: date) -> None:
        """The broker adjusts what is held, and tells of it."""
        for event, (_, _, ratio) in EVENTS.items():
            for kind in HELD:
                name = event + kind
                self.broker.book.positions[name] *= ratio
                activity = BrokerActivity(f"split-{name}", "split", session, name, D(0), ratio)
                self.broker.book.activities.append(activity)

    def list_actions(self) -> None:
        for event, (_, _, ratio) in EVENTS.items():
            for kind in "LST":
                add_action(self.desk, event + kind, EX, "split", float(ratio))

    def trade(self, session: date) -> None:
        try:
            consolidate_session(self.desk, "main", session)
            plan_session(self.desk, "main", session)
            trade_session(self.desk, "main", session, "run")
        except ScizorError as refusal:
            self.refused.append(f"{session}: {refusal}")

    def reasons(self, session: date) -> dict[str, tuple[str, str]]:
        plan = read_plan(self.desk.lake, "main", session)
        assert plan is not None, self.refused
        return {line.symbol: (line.reason.value, line.note) for line in plan.lines}

    def wrong(self) -> list[str]:
        """Orders that arrived whose value at the true price is off by more than a day's move."""
        found = []
        with self.desk.ledger.read() as connection:
            rows = [*intents_of_session(connection, "paper", EX), *intents_of_session(connection, "paper", NEXT)]
        sent = {request.client_order_id for request in self.broker.book.requests}
        for row in rows:
            ratio = float(self.true_price(row.symbol, row.session) / row.price_used)
            if row.client_order_id in sent and not 1 / ROOM <= ratio <= ROOM:
                found.append(f"{row.session} {row.side} {row.qty} {row.symbol} off by {ratio:.3g}")
        return found

    def sent(self, session: date) -> set[str]:
        return {row.symbol for row in self.broker.book.requests if row.session == session}


@pytest.fixture
def world(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    folder = tmp_path / "desk"
    shutil.copytree(prepared, folder)
    desk = Desk(project_at(folder).settings, lambda: made.now)
    positions = {name: D(qty) for name in SYMBOLS if (qty := (HELD | {"Y": 50}).get(name[-1]))}
    broker = ModelBroker(cash=D(100_000), prices={}, positions=positions)
    bars = pd.read_csv(folder / "prices.csv", parse_dates=["session"])
    days = (stamp.date() for stamp in bars["session"])
    opens = {
        (symbol, day): D(str(price)) for symbol, day, price in zip(bars["symbol"], days, bars["open"], strict=True)
    }
    made = World(folder, morning(EX), broker, Quoted(desk.provider("us")), opens)
    made.desk = desk
    monkeypatch.setattr(Desk, "broker", lambda *_: broker)
    monkeypatch.setattr(Desk, "provider", lambda *_: made.source)
    monkeypatch.setattr(Desk, "pinned_identity", lambda *_: BrokerIdentity("model", "paper", "M1"))
    made.open_on(EX)
    yield made
    for store in (desk.lake, desk.ledger):
        store.close()


@pytest.mark.parametrize("booked", WHEN)
@pytest.mark.parametrize("listed", WHEN)
def test_no_order_is_in_wrong_units_whoever_hears_of_a_split_when(
    world: World, record_property: Callable[[str, object], None], listed: str, booked: str
) -> None:
    if listed == "in time":
        world.list_actions()
    if booked == "in time":
        world.book(EX)
    world.trade(EX)
    frozen = {name for name, (reason, _) in world.reasons(EX).items() if reason in ("corporate_action", "frozen")}
    assert frozen == set(SYMBOLS) - {CALM}
    assert world.sent(EX) == {CALM}
    world.open_on(NEXT)
    if booked == "late":
        world.book(NEXT)
    if listed == "late":
        world.list_actions()
    fill_history(world.desk, "us", (2021, 2021), None)
    world.trade(NEXT)
    sent = world.sent(NEXT)
    record_property("orders", f"listed {listed}, booked {booked}: next day {len(sent)} traded, wrong {world.wrong()}")
    assert world.wrong() == []
    assert CALM in sent or world.refused
    if listed == "never":
        assert sent <= {CALM}
    if booked != "in time":
        assert not {name for name in sent if name[-1] in HELD}, "priced in new shares, and held in old ones"
    elif listed != "never":
        assert sent == set(SYMBOLS), "the freeze has cleared by itself"


def test_a_split_that_shows_after_the_plan_was_made_is_never_sent(world: World) -> None:
    world.source.quotes = {}
    consolidate_session(world.desk, "main", EX)
    plan = plan_session(world.desk, "main", EX).plan
    assert {order.symbol for order in plan.orders} == set(SYMBOLS), "nobody can know yet"
    world.open_on(EX)
    result = trade_session(world.desk, "main", EX, "run")
    assert world.sent(EX) == {CALM}, (result.notes, [row for row in result.orders if row.symbol == CALM])
    held = {row.symbol: row.reason for row in result.orders}
    assert "it waited (continuity: Suspected split of 7 for 1" in held["SEVL"]
    assert "it waited (continuity: Suspected consolidation of 1 for 8" in held["EIGS"]
    assert any(
        "Suspected split of 7 for 1" in note and "an order in old units is never sent" in note for note in result.notes
    )
    assert len(world.source.asked) == 2, "one question for the plan, and one for all of its orders"


def test_the_plan_names_both_prices_and_what_to_do_and_stands_while_prices_move(world: World) -> None:
    consolidate_session(world.desk, "main", EX)
    plan = plan_session(world.desk, "main", EX).plan
    reason, note = world.reasons(EX)["SEVL"]
    assert reason == "corporate_action"
    assert "Suspected split of 7 for 1, or a fall of 86%: 92.69 (feed, 2021-03-02 14:30 UTC) after 645.57" in note
    assert "the broker still holds 280" in note
    assert "scizor prices accept SEVL --market us --date 2021-03-02" in note
    moved = {
        name: LatestPrice(name, quote.price * D("1.01"), quote.at, "feed")
        for name, quote in world.source.quotes.items()
    }
    world.source.quotes = moved
    assert set(suspected_before(world.desk, "main", EX)) == set(SYMBOLS) - {CALM}
    assert trade_session(world.desk, "main", EX, "run").plan_id == plan.plan_id


def test_a_position_under_a_new_name_is_not_bought_a_second_time(world: World) -> None:
    world.source.quotes = {}
    world.broker.book.positions["SEVT"] = world.broker.book.positions.pop("SEVL") * 7
    world.trade(EX)
    assert not world.refused
    assert not {"SEVL", "SEVT"} & world.sent(EX)
    assert "Suspected rename of SEVL to SEVT with a split of 7 for 1" in world.reasons(EX)["SEVT"][1]
    assert world.reasons(EX)["SEVL"][0] == "frozen", "by the break that the reconciliation has found"


@pytest.mark.parametrize(
    ("kind", "qty", "looked_at"),
    [("position_differs", 280 * 6, False), ("position_differs", 5, True), ("fill_differs", 280 * 6, True)],
)
def test_an_accepted_difference_says_nothing_of_a_later_one(world: World, kind: str, qty: int, looked_at: bool) -> None:
    world.source.quotes = {}
    row = a_break(kind=kind, symbol="SEVL", qty=D(qty))
    with world.desk.ledger.transaction() as connection:
        record_breaks(connection, Looked("paper", "main", EVE, (), ()), [row], now=world.now)
        accept_break(connection, row.break_id, actor="ann", reason="mine", now=world.now)
    world.broker.book.positions["SEVL"] *= 7
    with world.desk.lake.pinned() as lake:
        closes = Closes({"SEVL": 645.57}, {"SEVL": EVE})
        found = suspected_actions(world.desk, lake, "main", EX, closes, ["SEVL"])
    assert ("SEVL" in found) is looked_at


def test_what_is_sold_back_to_its_quantity_before_a_split_is_not_taken_for_unbooked(world: World) -> None:
    listed, owned = [("SEVL", EX, 7.0)], {"SEVL": D(280)}
    with world.desk.ledger.transaction() as connection:
        assert "has not booked it: 280 are still owned" in unbooked_splits(connection, "paper", listed, owned)["SEVL"]
        late = BrokerActivity("s1", "split", NEXT, "SEVL", D(0), D(7))
        record_activity(connection, "paper", late, now=world.now)
        assert unbooked_splits(connection, "paper", listed, owned) == {}


def test_a_split_that_the_preferred_source_lists_by_the_time_of_the_send_is_never_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_asked(*_: object) -> pd.DataFrame:
        raise AssertionError("a source behind the first one is asked when actions are collected, and not here")

    second = Quoted(world.source.source)
    monkeypatch.setattr(second, "corporate_actions", not_asked)
    both = FallbackMarket((world.source, second), XNYS, 0.01, lambda *_: pd.DataFrame())
    monkeypatch.setattr(Desk, "provider", lambda *_: both)
    world.now = XNYS.open_at(EX) - timedelta(hours=1)
    world.source.quotes = {}
    consolidate_session(world.desk, "main", EX)
    plan = plan_session(world.desk, "main", EX).plan
    assert {order.symbol for order in plan.orders} == set(SYMBOLS), "no list has it yet"
    world.source.lists = [
        ("SEVT", EX, "split", 7.0),
        ("FOUT", EX, "rename", None),
        ("SPY", EX, "dividend", None),
        ("EIGT", EVE, "split", 0.125),
        ("TWFT", NEXT, "split", 0.04),
    ]
    result = trade_session(world.desk, "main", EX, "run")
    assert set(SYMBOLS) - world.sent(EX) == {"SEVT", "FOUT"}
    reasons = {row.symbol: row.reason for row in result.orders}
    assert "prices.csv lists a split of 7 for 1 on 2021-03-02, after the close of 2021-03-01" in str(reasons["SEVT"])
    assert "lists a rename on 2021-03-02" in str(reasons["FOUT"])


def test_a_quote_from_before_the_last_close_or_after_the_session_says_nothing(world: World) -> None:
    for at in (XNYS.close_at(EVE), XNYS.close_at(EX)):
        world.source.quotes = {name: LatestPrice(name, D(1), at, "feed") for name in SYMBOLS}
        consolidate_session(world.desk, "main", EX)
        assert {order.symbol for order in plan_session(world.desk, "main", EX).plan.orders} == set(SYMBOLS)
    world.now = XNYS.close_at(EX) + timedelta(days=9)
    asked = len(world.source.asked)
    plan_session(world.desk, "main", EX)
    assert len(world.source.asked) == asked, "a session that is planned later asks for nothing"
