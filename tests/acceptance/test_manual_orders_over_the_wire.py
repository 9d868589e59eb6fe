"""A person orders beside the rebalance of a day at a broker, over HTTP: it fills, one is taken back, and all agrees."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from scizor_dagster.brokers import broker_clock
from scizor_dagster.brokers.protocol import Side
from scizor_dagster.errors import InputError
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.following import follow_session
from scizor_dagster.flow.manual_orders import place_order
from scizor_dagster.flow.markets import collect_closed_session
from scizor_dagster.flow.order_requests import OrderAsked
from scizor_dagster.flow.orders import cancel_order
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.flow.trades import trade_session
from tests.acceptance.wires import DAY, NAMES, collect, open_wires

D = Decimal
WHO = {"actor": "jo", "reason": "a tip"}


def _taking_orders(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    # An order that rests is looked at once: what a run waits for would not come by itself.
    config["portfolios"]["main"] |= {"manual_orders": "keep", "execution": {"wait_seconds": 0}}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def test_orders_by_hand_rest_and_fill_beside_a_rebalance_and_the_day_reconciles(tmp_path, monkeypatch):
    monkeypatch.setattr(broker_clock, "MAX_AGE", 0.0)
    with open_wires(tmp_path) as wires:
        desk = wires.desk(tmp_path, wires.keys["alpaca"])
        _taking_orders(tmp_path / "config.yaml")
        collect(desk)
        consolidate_session(desk, "main", DAY)
        planned = plan_session(desk, "main", DAY).plan
        assert trade_session(desk, "main", DAY, "morning").state == "working"
        bought = OrderAsked("main", "GOOG", Side.BUY, quantity=D(5), session=DAY)
        placed = place_order(desk, bought, key="k-1", **WHO)
        assert (placed.state, placed.batch_id) == ("working", f"broker/main/{DAY}/2")
        # The opposite side of an order that rests is no order that a broker would take.
        with pytest.raises(InputError, match="wash_trade"):
            place_order(desk, OrderAsked("main", "GOOG", Side.SELL, quantity=D(1), session=DAY), key="k-2", **WHO)
        low = OrderAsked("main", "META", Side.BUY, quantity=D(2), session=DAY)
        line = place_order(desk, low, key="k-3", dry_run=True, **WHO).line
        low = replace(low, mode="limit", limit_price=(line.price * D("0.93")).quantize(D("0.01")))
        resting = place_order(desk, low, key="k-3", **WHO)
        wires.hall.to("10:00", DAY)
        followed = follow_session(desk, "main", DAY, "noon")
        states = {row.symbol: row.state.value for row in followed.orders}
        assert states == dict.fromkeys(states, "filled") | {"META": "working"}
        assert place_order(desk, bought, key="k-1", **WHO).orders[0].filled_qty == 5
        canceled = cancel_order(desk, resting.orders[0].client_order_id, actor="jo", reason="no more")
        assert (canceled.order.intent.state, canceled.note) == ("canceled", "")
        wires.hall.to("16:30", DAY)
        collect_closed_session(desk, "us", DAY)
        report = reconcile_session(desk, "main", DAY)
        assert report.breaks.to_dict("records") == []
        held = wires.hall.held(NAMES["alpaca"])
        assert held["GOOG"] == 5 + sum(order.qty for order in planned.orders if order.symbol == "GOOG")
        assert "META" not in held
        assert report.state == "reconciled"
        desk.disconnect()
        desk.lake.close()
