"""A whole day with an account at a broker: the same flow over HTTP and over a TWS socket, and it reconciles."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.brokers import broker_clock
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trades import trade_session
from tests.acceptance.wires import DAY, NAMES, OTHERS, SECRET, WIRES, collect, open_wires

MUCH_LATER = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("rehearsed", [False, True], ids=["at the exchange's time", "by its clock, long after"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_day_from_collection_to_reconciliation_ends_without_a_break(wire, rehearsed, tmp_path, monkeypatch):
    monkeypatch.setattr(broker_clock, "MAX_AGE", 0.0)
    with open_wires(tmp_path) as wires:
        other = {"now": lambda: MUCH_LATER, "clock": "broker"} if rehearsed else {}
        desk = collect(wires.desk(tmp_path, wires.keys[wire], **other))
        assert abs(desk.clock() - wires.hall.venue.now()) < timedelta(seconds=1)
        consolidate_session(desk, "main", DAY)
        plan = plan_session(desk, "main", DAY).plan
        assert len(plan.orders) >= 3
        assert trade_session(desk, "main", DAY, "morning").state == "working"
        wires.hall.to("10:00", DAY)
        followed = follow_session(desk, "main", DAY, "noon")
        assert {row.state for row in followed.orders} == {"filled"}
        wires.hall.to("16:30", DAY)
        collect_closed_session(desk, "us", DAY)
        report = reconcile_session(desk, "main", DAY)
        assert report.breaks.to_dict("records") == []
        planned: Counter[str] = Counter()
        for order in plan.orders:
            planned[order.symbol] += order.qty
        assert wires.hall.held(NAMES[wire]) == planned
        strangers = {*NAMES.values(), *OTHERS.values()} - {NAMES[wire]}
        assert not any(wires.hall.all_orders(name) for name in strangers)
        desk.disconnect()
        desk.lake.close()
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in stored if SECRET.encode() in path.read_bytes()]
