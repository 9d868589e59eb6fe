"""An account that is not plainly a paper account is sent nothing, unless it is the one that is pinned as live."""

import itertools

import pytest

from scizor_dagster.brokers.alpaca.broker import AlpacaBroker
from scizor_dagster.brokers.alpaca.settings import DATA_URL, LIVE_URL, PAPER_URL, AlpacaSettings, Api
from scizor_dagster.brokers.alpaca.transport import Reply, Transport
from scizor_dagster.errors import OrderRejected
from scizor_dagster.sessions import TradingCalendar
from tests.brokers.alpaca.test_failures import request, resting
from tests.paper_exchange.alpaca.support import all_orders

NUMBERS = {"PA3KEJRCPTJR": "paper", "932473521": "live", "XPA123": "live", "": None}
URLS = [PAPER_URL, LIVE_URL, LIVE_URL + "/", "http://127.0.0.1:8090"]
KEYS = ["PKTEST", "AKTEST"]
WIRINGS = list(itertools.product([number for number in NUMBERS if number], URLS, KEYS))


@pytest.mark.parametrize(("number", "url", "key"), WIRINGS)
def test_only_address_keys_and_number_together_make_a_paper_account(monkeypatch, number, url, key):
    sent = []

    def answer(self, method, path, data, version):
        if method != "GET":
            sent.append(path)
        return Reply(200, {"account_number": number})

    monkeypatch.setattr(Transport, "_once", answer)
    broker = AlpacaBroker(AlpacaSettings(key, "secret", url), TradingCalendar("XNYS"))
    paper = NUMBERS[number] == "paper" and not url.startswith(LIVE_URL) and key == "PKTEST"
    identity = broker.identity()
    assert (identity.broker, identity.environment, identity.account_id) == (
        "alpaca",
        "paper" if paper else "live",
        number,
    )
    if not paper:
        for ask in (lambda: broker.submit(request()), lambda: broker.cancel("a")):
            with pytest.raises(OrderRejected, match="is live and not pinned as such; nothing was sent"):
                ask()
        assert sent == []


def test_a_live_account_behind_the_wire_gets_no_order_and_no_cancel_unless_it_is_pinned(
    doors, brokers, venue, monkeypatch
):
    from scizor_dagster.paper_exchange.alpaca_door import render_account

    broker = brokers.connect(doors.open().url)
    broker.submit(resting())
    monkeypatch.setattr(render_account, "account_number", lambda view: "932473521")
    again = brokers.connect(broker._settings.url)
    for ask in (lambda: again.submit(request("b")), lambda: again.cancel("a")):
        with pytest.raises(OrderRejected) as refusal:
            ask()
        assert refusal.value.code == "live_account"
    assert [(row.ticket.client_order_id, row.status) for row in all_orders(venue)] == [("a", "new")]
    for pinned, sends in (("932473522", False), ("932473521", True)):
        named = brokers.connect(broker._settings.url, live_account=pinned)
        if sends:
            named.submit(request("b"))
            named.cancel("a")
        else:
            with pytest.raises(OrderRejected, match="account 932473521 is live and not pinned as such"):
                named.submit(request("b"))
    assert [(row.ticket.client_order_id, row.status) for row in all_orders(venue)] == [
        ("a", "canceled"),
        ("b", "filled"),
    ]


def test_prices_come_from_where_the_account_is():
    assert AlpacaSettings("k", "s").address(Api.DATA) == DATA_URL
    assert AlpacaSettings("k", "s", url="http://127.0.0.1:1").address(Api.DATA) == "http://127.0.0.1:1"
    assert AlpacaSettings("k", "s", data_url="http://127.0.0.1:2").address(Api.DATA) == "http://127.0.0.1:2"


def test_secrets_are_not_shown():
    assert "geheim" not in repr(AlpacaSettings("key", "geheim"))
