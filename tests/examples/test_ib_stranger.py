"""A script that knows nothing of this project, run as it is against the exchange as a TWS."""

import subprocess
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest

from scizor_dagster.instruments import Instrument
from scizor_dagster.paper_exchange.tws_door.server import serve_tws
from tests.paper_exchange.floor import Floor, in_a_row

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "ib_stranger.py"
SAID = """\
accounts ['DU1000000']
contract AAA NASDAQ USD ALPHA INC
bars 4 2024-03-04 100.0
money 100000.0 100000.0
bought Filled 10.0 100.0
resting True
cancelled Cancelled
bracket Filled Submitted PreSubmitted
legs Cancelled Cancelled
flat []
fills [('BOT', 10.0), ('BOT', 10.0), ('SLD', 20.0)]
"""


def test_the_script_of_a_stranger_trades_on_the_exchange(tmp_path):
    if find_spec("ib_insync") is None:
        pytest.skip("the script is written for ib_insync")
    history = {"AAA": in_a_row(date(2024, 2, 20), [100, 102, 104])}
    venue = Floor(tmp_path, [Instrument("AAA", "XNAS", "USD", "ALPHA INC")], history=history)
    with serve_tws(venue) as tws:
        ran = subprocess.run(
            [sys.executable, str(SCRIPT), "127.0.0.1", str(tws.port), "AAA"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (ran.stdout, ran.returncode) == (SAID, 0), ran.stderr
    assert "Decoder" not in ran.stderr
