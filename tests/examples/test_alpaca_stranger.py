"""The example of plain alpaca-py calls, from its first line to its last, against the exchange."""

import ast
import runpy
from datetime import date

from tests.paper_exchange.alpaca.conftest import doors, no_error_records, venue  # noqa: F401 - fixtures
from tests.paper_exchange.alpaca.support import ACCOUNT, KEY, SECRET
from tests.paper_exchange.market import bar


def test_a_stranger_trades_and_leaves_a_flat_account(doors, venue, project_root, capsys):  # noqa: F811
    venue.data.sessions[date(2024, 3, 1)] = {"AAA": bar(100, 100, 100, 100, 1000)}
    script = runpy.run_path(str(project_root / "examples" / "alpaca_stranger.py"))
    script["main"](["--url", doors.open().url, "--symbol", "AAA", "--key", KEY, "--secret", SECRET])
    said = capsys.readouterr().out
    assert "1 bars; 100.0 bid, 100.0 ask, last 100" in said
    assert "protected by limit (new), stop (held)" in said
    assert "the account is flat" in said
    heard = said.rpartition("heard: ")[2].split(", ")
    assert {"fill", "new", "replaced"} <= {word.strip() for word in heard}
    assert list(venue.positions(ACCOUNT)) == []
    assert venue.orders(ACCOUNT) == []
    assert venue.account(ACCOUNT).cash == 100_000


def test_the_example_knows_nothing_of_scizor(project_root):
    tree = ast.parse((project_root / "examples" / "alpaca_stranger.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in names if name.partition(".")[0] in {"scizor_dagster", "assets", "resources", "tests"}}
