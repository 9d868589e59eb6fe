"""Watchlists by id and by name, kept with the account; and announcements of corporate actions."""

from datetime import date
from decimal import Decimal as D
from uuid import uuid4

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import CorporateActionType
from alpaca.trading.requests import CreateWatchlistRequest, GetCorporateAnnouncementsRequest, UpdateWatchlistRequest

from scizor_dagster.paper_exchange.data import SessionAction
from tests.paper_exchange.alpaca.support import DAY1, KEY, SECRET, Doors


@pytest.fixture
def client(doors: Doors) -> TradingClient:
    return TradingClient(KEY, SECRET, url_override=doors.open().url)


def symbols(watchlist: object) -> list[str]:
    return [asset.symbol for asset in watchlist.assets]


def test_a_list_lives_as_the_sdk_makes_and_changes_it(client):
    made = client.create_watchlist(CreateWatchlistRequest(name="mine", symbols=["BBB", "AAA", "BBB"]))
    assert (made.account_id, symbols(made)) == (client.get_account().id, ["BBB", "AAA"])
    assert symbols(client.add_asset_to_watchlist_by_id(made.id, "WHOLE")) == ["BBB", "AAA", "WHOLE"]
    assert symbols(client.remove_asset_from_watchlist_by_id(made.id, "BBB")) == ["AAA", "WHOLE"]
    changed = client.update_watchlist_by_id(made.id, UpdateWatchlistRequest(name="other", symbols=["HARD"]))
    assert (changed.name, symbols(changed), changed.created_at) == ("other", ["HARD"], made.created_at)
    assert [row.name for row in client.get_watchlists()] == ["other"]
    assert client.get_watchlist_by_id(made.id) == changed
    client.delete_watchlist_by_id(made.id)
    assert client.get_watchlists() == []


def test_a_list_is_found_by_its_name(wire):
    made = wire("POST", "/v2/watchlists", json={"name": "mine"}).json()
    by_name = "/v2/watchlists:by_name?name=mine"
    assert made["assets"] == []
    assert wire("GET", by_name).json() == made
    assert wire("POST", by_name, json={"symbol": "AAA"}).json()["assets"][0]["symbol"] == "AAA"
    assert wire("PUT", by_name, json={"name": "yours"}).json()["assets"][0]["symbol"] == "AAA"
    assert wire("DELETE", by_name).status_code == 404
    assert wire("DELETE", "/v2/watchlists:by_name?name=yours").status_code == 204


def test_lists_and_settings_are_there_in_the_next_run(wire, venue):
    wire("POST", "/v2/watchlists", json={"name": "mine", "symbols": ["AAA"]})
    wire("PATCH", "/v2/account/configurations", json={"no_shorting": True})
    before = wire("GET", "/v2/watchlists:by_name?name=mine").json()
    venue.hall.venue._store._cached.clear()
    assert wire("GET", "/v2/watchlists:by_name?name=mine").json() == before
    assert wire("GET", "/v2/account/configurations").json()["no_shorting"] is True


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "", {"name": "mine"}, 422, "watchlist name must be unique"),
        ("POST", "", {}, 422, "name is required"),
        ("POST", "", {"name": "x" * 65}, 422, "name must have 1 to 64 characters"),
        ("POST", "", {"name": "a", "symbols": "AAA"}, 422, "symbols must be a list of strings"),
        ("POST", "", {"name": "a", "symbols": ["NOPE"]}, 404, "asset not found for NOPE"),
        ("POST", ":by_name?name=mine", {}, 422, "symbol is required"),
        ("POST", ":by_name?name=mine", {"symbol": "NOPE"}, 404, "asset not found for NOPE"),
        ("PUT", ":by_name?name=mine", {"name": "taken"}, 422, "watchlist name must be unique"),
        ("GET", "/nowhere", None, 404, "watchlist not found for nowhere"),
        ("GET", ":by_name?name=none", None, 404, "watchlist not found for none"),
    ],
)
def test_what_cannot_be_done_to_a_list_is_refused_and_changes_nothing(wire, method, path, body, status, said):
    for name in ("mine", "taken"):
        wire("POST", "/v2/watchlists", json={"name": name})
    before = wire("GET", "/v2/watchlists").json()
    reply = wire(method, f"/v2/watchlists{path}", json=body)
    assert (reply.status_code, reply.json()["message"]) == (status, said)
    assert wire("GET", "/v2/watchlists").json() == before


def test_announcements_tell_of_dividends_and_splits(client, venue):
    venue.act(
        SessionAction("AAA", DAY1, "split", ratio=D(4)),
        SessionAction("BBB", DAY1, "dividend", amount=D("0.25")),
        SessionAction("WHOLE", DAY1, "split", ratio=D("0.1")),
    )
    both = [CorporateActionType.DIVIDEND, CorporateActionType.SPLIT]
    found = client.get_corporate_announcements(
        GetCorporateAnnouncementsRequest(ca_types=both, since=date(2024, 1, 1), until=DAY1)
    )
    rows = [(row.initiating_symbol, row.ca_sub_type.value, row.cash, row.old_rate, row.new_rate) for row in found]
    assert rows == [
        ("AAA", "stock_split", 0, 1, 4),
        ("BBB", "cash", 0.25, 1, 1),
        ("WHOLE", "reverse_split", 0, 10, 1),
    ]
    one = GetCorporateAnnouncementsRequest(ca_types=both[:1], since=DAY1, until=DAY1, symbol="AAA")
    assert client.get_corporate_announcements(one) == []
    assert client.get_corporate_announcement_by_id(found[0].id) == found[0]


@pytest.mark.parametrize(
    "query",
    ["since=2024-01-01&until=2024-01-02", "ca_types=gift&since=2024-01-01&until=2024-01-02", "ca_types=split"]
    + [f"ca_types=split&since={first}&until=2024-03-04" for first in ("2023-11-01", "2024-03-05", "x")],
)
def test_announcements_are_asked_for_by_type_and_at_most_ninety_days(wire, query):
    assert wire("GET", f"/v2/corporate_actions/announcements?{query}").status_code == 422


def test_an_unknown_announcement_is_not_found(client):
    with pytest.raises(APIError, match="announcement not found"):
        client.get_corporate_announcement_by_id(uuid4())
