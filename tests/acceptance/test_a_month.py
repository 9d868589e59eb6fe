"""A calendar month of two strategies on one account: faults, a split, a dividend, a rename, a late fill, a stranger.

Each of the five is named by the reconciliation under its class on its session, nothing else is, and at the end every
number leads back to the line of a file. `SCIZOR_TORTURE` trades every session, in twice the instruments, from seeds.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.analytics.attribution import read_lines
from scizor_dagster.analytics.costs_store import read_costs
from scizor_dagster.analytics.explain.model import Step
from scizor_dagster.analytics.performance import read_performance
from scizor_dagster.flow.adopting import adopt_position
from scizor_dagster.flow.approvals import approve_weights
from scizor_dagster.flow.explaining import explain
from scizor_dagster.flow.exporting import export_sessions
from scizor_dagster.flow.ledger_care import verify_ledger
from scizor_dagster.flow.replaying import replay_sessions
from scizor_dagster.flow.reporting import report_session
from scizor_dagster.ledger.breaks import AGREED, accept_break, open_breaks
from scizor_dagster.ledger.days import is_closed
from scizor_dagster.ledger.reconciliation_tables import breaks
from scizor_dagster.ledger.tables import trades
from scizor_dagster.planning.frames import read_plan
from scizor_dagster.planning.model import Reason
from scizor_dagster.reconciliation.model import Pass, Severity
from tests.acceptance.month import (
    ACCOUNT,
    BY_HAND,
    DIVIDEND,
    LATE,
    NEW,
    OLD,
    PAYS,
    PORTFOLIO,
    RENAME,
    SESSIONS,
    SPLIT,
    SPLITS,
    STRATEGIES,
    XNYS,
    Month,
)

TORTURE = bool(os.environ.get("SCIZOR_TORTURE"))
SEEDS = range(7, 12) if TORTURE else (7,)
pytestmark = pytest.mark.timeout(4 * 3_600 if TORTURE else 900)
ACCEPTED = date(2025, 3, 24)
HANDED_TO = "GOLF"
LATE_ONE = "ECHO"
FIVE = frozenset({SPLITS, PAYS, OLD, NEW, LATE_ONE, HANDED_TO})


class Told:
    """The month with what is done to it, and what a person does about it."""

    def __init__(self, folder: Path, seed: int) -> None:
        more = {"more": 8, "traded": SESSIONS, "spares": FIVE} if TORTURE else {}
        self.month = Month(folder, seed, **more)
        self.by_hand = ""
        self.month.overnight = {SPLIT: self.split, RENAME: self.rename}
        self.month.mornings = {RENAME: self.approve}
        self.month.by_day = {BY_HAND: self.trade_by_hand}
        self.month.evenings = {ACCEPTED: self.accept, RENAME: self.hand_over}
        self.month.begin()
        for session in SESSIONS:
            self.month.pass_through(session)
        self.month.close_before(XNYS.next_session(SESSIONS[-1]))

    def split(self) -> None:
        """The account is in new shares before anybody looks at it."""
        self.month.broker.exchange.begin(SPLIT)

    def rename(self) -> None:
        with self.month.desk.ledger.transaction() as connection:
            renamed = "UPDATE paper_positions SET symbol = ? WHERE symbol = ?"
            assert connection.exec_driver_sql(renamed, (NEW, OLD)).rowcount == 1

    def approve(self) -> None:
        """Weights that name a ticker on its first day are held until a person says that it is meant."""
        for strategy in STRATEGIES:
            said = {"actor": "ann", "reason": f"{OLD} is {NEW} now"}
            approve_weights(self.month.desk, PORTFOLIO, strategy, RENAME, **said)

    def trade_by_hand(self) -> None:
        self.by_hand = self.month.broker.trade_by_hand(HANDED_TO, 7, BY_HAND)

    def accept(self) -> None:
        """`scizor risk accept-break` for what a stranger has bought."""
        with self.month.desk.ledger.transaction() as connection:
            (row,) = open_breaks(connection, ACCOUNT)
            accept_break(connection, row.break_id, actor="ann", reason="bought by hand, and kept", now=self.month.now)

    def hand_over(self) -> None:
        """`scizor adopt main INDI --renamed-from HOTL`."""
        adopt_position(self.month.desk, PORTFOLIO, NEW, qty=None, price=None, renamed_from=OLD, actor="ann")


@pytest.fixture(scope="module", params=SEEDS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("month"), request.param)
    yield made
    made.month.desk.lake.close()
    made.month.desk.ledger.close()


Named = tuple[date, str, str, str, str | None]


def named(told: Told, severity: Severity) -> dict[Named, str]:
    """What reconciliations have named: session, pass, kind, class and symbol, and when that was first."""
    found: dict[Named, str] = {}
    for at, report in told.month.said:
        for row in report.break_rows:
            if row.severity is severity:
                key = (report.session, str(report.when.which), str(row.kind), str(row.break_class), row.symbol)
                found.setdefault(key, f"{at:%m-%d %H:%M}")
    return found


BEFORE_SPLIT, BEFORE_RENAME = XNYS.previous_session(SPLIT), XNYS.previous_session(RENAME)
EXPECTED = {
    "split": (BEFORE_SPLIT, Pass.SECOND, "position_differs", "corporate_action", SPLITS),
    "dividend": (DIVIDEND, Pass.SECOND, "came_late", "dividend_or_fee", PAYS),
    "rename": (BEFORE_RENAME, Pass.SECOND, "position_differs", "corporate_action", OLD),
    "late fill": (LATE, Pass.SECOND, "came_late", "late", LATE_ONE),
    "foreign trade": (BY_HAND, Pass.FIRST, "position_differs", "foreign", HANDED_TO),
}
"""What must be named first of each. What the broker does overnight shows in the second pass of the session before."""


def test_each_of_the_five_is_named_under_its_class_on_its_session(told: Told, record_property: Any) -> None:
    found = {**named(told, Severity.ERROR), **named(told, Severity.INFO)}
    for what, (session, which, kind, named_as, symbol) in EXPECTED.items():
        at = found.get((session, str(which), kind, named_as, symbol), "not named")
        record_property(
            "month", [str(session), f"{what} of {symbol}", f"{kind}, {named_as}", f"{which} pass, {at} UTC"]
        )
        assert at != "not named", (what, sorted(found, key=str))


def test_nothing_else_is_called_a_break(told: Told) -> None:
    with told.month.desk.ledger.read() as connection:
        rows = list(connection.execute(sa.select(breaks)))
    kept = {(row.kind, row.break_class, row.symbol, row.cleared_by) for row in rows if row.kind == "position_differs"}
    assert kept == {
        ("position_differs", "corporate_action", SPLITS, AGREED),
        ("position_differs", "corporate_action", OLD, AGREED),
        ("position_differs", "foreign", HANDED_TO, "ann"),
    }
    others = [row for row in rows if row.kind != "position_differs"]
    # While a call that has failed leaves an order in doubt, that is said; it is known by the evening of the same day.
    assert {row.kind for row in others} <= {"outcome_unknown"}
    assert all((row.cleared_by, row.cleared_at.date()) == (AGREED, row.session) for row in others)


def test_what_is_told_beside_the_breaks_is_of_the_five_alone(told: Told) -> None:
    expected = {
        ("came_late", PAYS),
        ("came_late", LATE_ONE),
        ("order_returned", LATE_ONE),
        ("foreign_order", HANDED_TO),
        ("position_differs", HANDED_TO),
        ("foreign_position", NEW),
        # While the orders of the day rest.
        ("cash_not_compared", None),
    }
    assert {(kind, symbol) for _, _, kind, _, symbol in named(told, Severity.INFO)} <= expected


def test_what_is_locked_does_not_trade_until_a_person_accepts_it_or_the_parties_agree(told: Told) -> None:
    lake = told.month.desk.lake
    frozen = read_plan(lake, PORTFOLIO, ACCEPTED)
    assert frozen is not None
    (line,) = (row for row in frozen.lines if row.symbol == HANDED_TO)
    assert line.reason is Reason.FROZEN
    assert "(foreign)" in line.note
    assert {row.symbol for row in frozen.orders}.isdisjoint({HANDED_TO})
    after = read_plan(lake, PORTFOLIO, XNYS.next_session(XNYS.next_session(RENAME)))
    assert after is not None
    assert Reason.FROZEN not in {row.reason for row in after.lines}
    assert {row.symbol: row.current_qty > 0 for row in after.lines}[NEW]


def test_every_traded_day_is_closed_by_a_second_pass(told: Told) -> None:
    """Also those on which something differed, once it was cleared."""
    with told.month.desk.ledger.read() as connection:
        opened = [day for day in told.month.traded if not is_closed(connection, ACCOUNT, PORTFOLIO, day)]
        assert open_breaks(connection, ACCOUNT) == []
    assert opened == []


def test_the_broker_has_failed_refused_and_filled_in_parts(told: Told) -> None:
    with told.month.desk.ledger.read() as connection:
        said = connection.exec_driver_sql("SELECT kind, payload FROM events").fetchall()
        parts = Counter(connection.execute(sa.select(trades.c.client_order_id)).scalars())
    assert told.month.troubles.rejected
    assert max(parts.values()) > 1
    assert any("gateway_timeout" in str(payload) for _, payload in said)


def test_every_fill_of_the_month_leads_to_a_line_of_a_file_and_the_foreign_one_to_nobody(told: Told) -> None:
    desk, checked = told.month.desk, 0
    with desk.ledger.read() as connection:
        rows = connection.execute(sa.select(trades.c.fill_id, trades.c.portfolio, trades.c.symbol)).all()
    hashes = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in told.month.folder.glob("*.csv")}
    for fill, portfolio, symbol in rows:
        made = explain(desk, fill)
        if portfolio is None:
            assert (symbol, made.portfolio, made.of(Step.FILE)) == (HANDED_TO, "", ())
            assert "It is foreign" in made.of(Step.ORDER)[0].sentences[0]
            continue
        assert made.to_json()["complete"], (fill, made)
        places = [link.facts.get("named_before") or link.facts for link in made.of(Step.FILE)]
        assert places
        for place in places:
            text = hashes[place["file_sha256"]].read_text().splitlines()[place["line"] - 1]
            assert text.split(",")[1] in (symbol, OLD)
            assert Path(place["path"]).name == hashes[place["file_sha256"]].name
            checked += 1
    assert [row.symbol for row in rows if row.portfolio is None] == [HANDED_TO]
    assert checked >= len(rows)


def test_the_plan_of_each_day_is_made_again_to_the_same_bytes(told: Told) -> None:
    found = replay_sessions(told.month.desk, PORTFOLIO, SESSIONS[0], SESSIONS[-1])
    assert ([item.session for item in found.sessions], list(found.missing)) == (list(told.month.traded), [])
    for item in found.sessions:
        differences = [row.sentence for row in item.findings if row.kind == "difference"]
        assert (item.equal, differences) == (True, []), item.session


def test_the_ledger_is_what_its_history_says(told: Told) -> None:
    assert verify_ledger(told.month.desk, None) == []


def test_the_end_of_the_month_is_the_brokers_to_the_cent_and_to_the_share(told: Told, tmp_path: Path) -> None:
    month, desk, last = told.month, told.month.desk, SESSIONS[-1]
    positions = {row.symbol: row for row in month.broker.positions()}
    foreign = 7 * (positions[HANDED_TO].market_price or Decimal(0))
    paid = next(row for row in month.broker.fills(BY_HAND, BY_HAND) if row.client_order_id == told.by_hand)
    equity = month.broker.account().equity - foreign + paid.qty * paid.price + paid.fee
    row = read_performance(desk.lake, PORTFOLIO).iloc[-1]
    assert row["session"] == last
    assert Decimal(str(row["equity"])).quantize(Decimal("0.01")) == equity.quantize(Decimal("0.01"))
    held: Counter[str] = Counter()
    for line in read_lines(desk.lake, "strategy", PORTFOLIO, last, last):
        held[line["symbol"]] += line["qty"]
    own = {name: item.qty - (7 if name == HANDED_TO else 0) for name, item in positions.items()}
    assert {name: qty for name, qty in held.items() if qty} == own


def test_costs_files_and_pages_of_the_last_traded_session_are_written(told: Told, tmp_path: Path) -> None:
    desk, last = told.month.desk, told.month.traded[-1]
    with desk.lake.pinned() as lake:
        costs = read_costs(lake, PORTFOLIO, last, last)
    plan = read_plan(desk.lake, PORTFOLIO, last)
    assert plan is not None
    assert {row.client_order_id for row in costs} == {row.client_order_id for row in plan.orders}
    exported = export_sessions(desk, PORTFOLIO, [last], tmp_path / "files")
    assert exported.missing[last] == {}
    for session in (last, SESSIONS[-1]):
        written = report_session(desk, PORTFOLIO, session, tmp_path / f"{session}.html")
        assert "</html>" in written.path.read_text(encoding="utf-8")
