"""What fails in the exchange itself: told in Alpaca's words, logged with its cause, and survived by the connection."""

import logging

import pytest

from scizor_dagster.paper_exchange.alpaca_door import app


@pytest.fixture(autouse=True)
def no_error_records() -> None:
    """Here a record at ERROR is what is asked for."""


def test_a_failure_is_an_error_of_the_server_and_the_connection_goes_on(wire, venue, monkeypatch, caplog):
    assert wire("GET", "/v2/clock").status_code == 200
    pools = wire.session.get_adapter(wire.url).poolmanager.pools
    (connection,) = (pools[key] for key in pools.keys())  # noqa: SIM118
    monkeypatch.setattr(type(venue.hall.venue), "positions", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR):
        reply = wire("GET", "/v2/positions")
    assert (reply.status_code, reply.json()) == (500, {"code": 50010000, "message": "internal server error occurred"})
    assert [(record.name, record.exc_info[0]) for record in caplog.records] == [(app.__name__, ZeroDivisionError)]
    assert wire("GET", "/v2/clock").status_code == 200
    assert connection.num_connections == 1
