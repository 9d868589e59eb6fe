"""The three whole examples, and the guides that are written on them: followed command by command."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from scizor_dagster.brokers import broker_clock
from scizor_dagster.brokers.alpaca import transport
from scizor_dagster.config import load_config
from scizor_dagster.signals.manifest import load_manifest
from tests.docs.blocks import ROOT, blocks_of
from tests.examples.stages import Stage, at_alpaca, at_tws

pytestmark = pytest.mark.timeout(1200)
EXAMPLES = sorted(path.name for path in (ROOT / "examples").iterdir() if (path / "config.yaml").is_file())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is asked each time, for it is moved by hand, and no pause before a second try."""
    monkeypatch.setattr(broker_clock, "MAX_AGE", 0.0)
    monkeypatch.setattr(transport, "_BACKOFF", (0.0,))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_configuration_with_a_page_that_names_its_files(name: str, tmp_path: Path) -> None:
    folder = ROOT / "examples" / name
    environment = {"SCIZOR_HOME": str(tmp_path)}
    config = load_config(folder / "config.yaml", environment)
    manifest = load_manifest(folder / config.strategy_manifest, environment)
    (portfolio,) = config.portfolios.values()
    assert [manifest.strategy(strategy).id for strategy in portfolio.signals.ids]
    said = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.iterdir() if path.name != "README.md" and f"`{path.name}`" not in said] == []
    assert name in (ROOT / "docs" / "guides" / "examples.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("guide", "stage"), [("connect-alpaca.md", at_alpaca), ("connect-tws.md", at_tws)])
def test_the_guide_to_a_broker_ends_in_a_reconciled_session(
    guide: str, stage: Callable[[Path], AbstractContextManager[Stage]], tmp_path: Path
) -> None:
    with stage(tmp_path) as found:
        for block in blocks_of(ROOT / "docs" / "guides" / guide):
            if block.marker == "run":
                found.follow(block)
        ended = found.session
        assert (ended["state"], ended["breaks"]) == ("reconciled", 0), ended
        # A limit order ends unfilled where the session never trades at its limit.
        assert ended["orders"] >= ended["filled"] > 0, ended
        assert float(ended["equity"]) > 0, "measured"
        assert found.hall is not None
        assert len(found.hall.held(found.account)) >= 2


def test_the_blend_waits_for_a_person_and_trades_what_was_approved(tmp_path: Path) -> None:
    stage = Stage("blend-with-approval", tmp_path)
    (block,) = [block for block in blocks_of(stage.folder / "README.md") if "scizor" in block.text]
    said: dict[str, str] = {}
    for command in block.commands:
        waits = command.line.startswith("scizor run") and command.line not in said
        code, said[command.line] = stage.shell.type(command.line)
        assert code == (1 if waits else 0), said[command.line]
        assert not waits or "awaiting_approval" in said[command.line]
    assert "reconciled" in said["scizor run --portfolio main --date 2025-03-03 --once"]
    assert "cap_per_name 0.25" in said["scizor signals consolidate --portfolio main --date 2025-03-03"]
    by_strategy = said["scizor performance --portfolio main --by strategy"]
    assert all(name in by_strategy for name in ("conviction", "trend", "calm"))
