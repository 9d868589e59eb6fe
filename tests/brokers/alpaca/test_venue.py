"""The contract of every broker and the stranger's example, against the exchange's own engine."""

import runpy
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
from tests.brokers.alpaca.conftest import Brokers
from tests.brokers.contract import BrokerContract, Venue
from tests.paper_exchange.alpaca.support import DAY1, DAY2, KEY, SECRET, UNLIMITED

venues = pytest.importorskip("tests.paper_exchange.venues", reason="the engine behind the doors is not there")


class TestAlpacaBrokerOnTheEngine(BrokerContract):
    @pytest.fixture
    def venue(self, tmp_path: Path, brokers: Brokers) -> Venue:
        hall = venues.make_venue(tmp_path)
        with serve_alpaca(hall.venue, {KEY: (SECRET, venues.ALPACA)}, rules=UNLIMITED) as server:

            def run(session: date) -> None:
                hall.clock.move_to(hall.venue.calendar.close_at(session) + timedelta(hours=1))

            def connect():
                return brokers.connect(server.url)

            yield Venue(connect(), connect, run, (DAY1, DAY2), ("AAA", "BBB"), D(100))


def test_the_stranger_leaves_a_flat_account_at_the_engine(tmp_path, project_root, capsys):
    hall = venues.make_venue(tmp_path, start=venues.at("11:00"))
    script = runpy.run_path(str(project_root / "examples" / "alpaca_stranger.py"))
    with serve_alpaca(hall.venue, {KEY: (SECRET, venues.ALPACA)}, rules=UNLIMITED) as server:
        script["main"](["--url", server.url, "--symbol", "AAA", "--key", KEY, "--secret", SECRET])
    assert "the account is flat" in capsys.readouterr().out
    assert hall.held(venues.ALPACA) == {}
