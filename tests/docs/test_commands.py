"""Every command of the documentation is one, and runs: the tutorial word for word, guides, the pages' examples."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.blocks import ROOT, Block, Command, all_blocks, blocks_of, inline_commands, words_of
from tests.docs.conftest import follow
from tests.docs.parsing import complaint, found, mention
from tests.docs.runs import ELSEWHERE, EXITS, IN_FULL_BY, TYPED, elsewhere, typed
from tests.docs.shell import Shell, shown_by

# The tutorial is followed once, by whichever test is the first to need it.
pytestmark = pytest.mark.timeout(1200)

BLOCKS = [block for block in all_blocks() if block.commands]
GUIDES = ROOT / "docs" / "guides"
Reader = Callable[[], Shell]


def _lines(*, marked: bool) -> list[tuple[Block, Command]]:
    return [(block, item) for block in BLOCKS for item in block.commands if marked or block.marker != "not run"]


def test_every_command_would_be_taken_by_the_command_line() -> None:
    scizor = [(block, item.line) for block, item in _lines(marked=True) if item.line.startswith("scizor")]
    assert len(scizor) > 100
    # What the shell puts in is parsed once it is there.
    assert [f"{block.place}: {why}" for block, line in scizor if "$(" not in line and (why := complaint(line))] == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("scizor runn", "names no command"),
        ("scizor run --portfolios main", "No such option"),
        ("scizor halt --portfolio main", "Missing option"),
        ("scizor backtest run --delay x", "Invalid value for '--delay'"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str, why: str) -> None:
    assert why in complaint(line)


def test_every_command_that_a_sentence_names_exists_with_its_options() -> None:
    assert [f"{page}: {why}" for page, line in inline_commands() if (why := mention(line))] == []
    assert mention("scizor lmits")
    assert mention("scizor risk events --from D")
    assert not mention("scizor arm main --until T")


def test_every_target_of_make_that_a_page_names_exists() -> None:
    named = {item.line.split()[1] for _, item in _lines(marked=True) if item.line.startswith("make ")}
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named | set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets)


def test_every_block_that_is_not_run_says_why() -> None:
    assert [block.place for block in BLOCKS if block.marker == "not run" and len(block.says) < 20] == []


def test_what_is_run_elsewhere_is_run_there() -> None:
    for start, test in (ELSEWHERE | {"scizor": IN_FULL_BY["docs/bring-your-own.md"]}).items():
        text = (ROOT / test).read_text(encoding="utf-8") + (ROOT / "tests/cli/conftest.py").read_text(encoding="utf-8")
        words = words_of(start)[1:]
        _, rest = found(words)
        assert all(f'"{word}"' in text for word in words[: len(words) - len(rest)]), (start, test)


def test_nothing_is_said_of_a_command_that_no_page_has() -> None:
    lines = [item.line for _, item in _lines(marked=True)]
    assert [line for line in [*TYPED, *EXITS] if line not in lines] == []
    assert [start for start in ELSEWHERE if not any(line.startswith(start) for line in lines)] == []


def test_the_tutorial_does_what_it_says(followed: Path) -> None:
    folder = followed / "scizor-tutorial"
    assert (folder / "home" / "reports" / "main" / "2025-03-10.html").is_file()
    shown = [item for block in blocks_of(ROOT / "docs" / "tutorial.md") for item in block.commands if item.shows]
    assert len(shown) >= 12


@pytest.mark.parametrize("word", ["3 orders", "29,4"])
def test_an_output_that_is_another_one_is_noticed(word: str) -> None:
    shows = ("...", "Planned …: 3 orders", "Reasons: 29,4")
    said = "a line\n\nPlanned 3 instruments: 3 orders   \nReasons: 29,4\n"
    assert shown_by(shows, said)
    assert not shown_by(shows, said.replace(word, "5"))
    assert not shown_by(shows[:-1], said)


def test_every_example_of_the_pages_runs(reader: Reader) -> None:
    """Each line once, in the order of the pages, in one copy of the tutorial's folder."""
    shell = reader()
    shell.environment |= _ids(Path(shell.environment["SCIZOR_HOME"]))
    done = {item.line for block in blocks_of(ROOT / "docs" / "tutorial.md") for item in block.commands}
    for block, item in _lines(marked=False):
        line = typed(item.line)
        if block.page in _FOLLOWED or elsewhere(item.line) or line in done or not line.startswith("scizor"):
            continue
        done.add(line)
        code, said = shell.type(line)
        assert code == EXITS.get(item.line, 0), f"{block.place}: {line}\n{said}"


_FOLLOWED = {
    *IN_FULL_BY, "docs/tutorial.md", "docs/backtests.md", *(f"docs/guides/{path.name}" for path in GUIDES.glob("*.md")),
}  # fmt: skip


def _ids(home: Path) -> dict[str, str]:
    """An order and a fill of the tutorial, for the pages that name one."""
    with sqlite3.connect(f"file:{home / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
        (order,) = ledger.execute("SELECT min(client_order_id) FROM orders").fetchone()
        (fill,) = ledger.execute("SELECT min(fill_id) FROM trades").fetchone()
    return {"ORDER": order, "FILL": fill}


def test_the_first_backtest_of_its_page_is_the_one_that_the_page_shows(reader: Reader) -> None:
    shell = reader()
    page = blocks_of(ROOT / "docs" / "backtests.md")
    (shell.folder / "prices.csv").write_text(
        next(block.text for block in page if block.text.startswith("date,")) + "\n"
    )
    (shell.folder / "weights.csv").write_text(
        next(block.text for block in page if block.text.startswith("trade_date,")) + "\n"
    )
    (block,) = [block for block in page if "--name first" in block.text]
    commands, _, shown = block.text.partition("\n\n")
    run, show = commands.splitlines()
    assert shell.type(f"{run} --json")[0] == 0
    assert shell.type(show) == (0, f"{shown}\n")
    assert shell.type("scizor backtest list")[0] == 0


def test_the_guide_to_strategies_ends_in_targets(reader: Reader) -> None:
    shell = reader()
    for block in blocks_of(GUIDES / "add-a-strategy.md"):
        if block.marker == "part of":
            _put_in(shell.folder / block.says, block.text)
        follow(shell, block)
    code, said = shell.type("scizor signals consolidate --portfolio main --date 2025-03-17 --json")
    assert (code, said.count('"target_weight": 0.45')) == (0, 2)


def _put_in(path: Path, text: str) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")) | yaml.safe_load(text)))


def test_a_break_is_shown_with_its_id_and_taken_as_it_is(reader: Reader) -> None:
    shell = reader()
    with sqlite3.connect(Path(shell.environment["SCIZOR_HOME"]) / "ledger.sqlite") as books:
        # Somebody buys five shares by hand, at the broker.
        books.execute("UPDATE paper_positions SET qty = CAST(CAST(qty AS REAL) + 5 AS TEXT) WHERE symbol = 'AAPL'")
    code, said = shell.type("scizor reconcile --portfolio main --date 2025-03-10")
    assert (code, "position_differs" in said) == (1, True), said
    (found,) = re.findall(r"\b[0-9a-f]{12}\b", shell.type("scizor risk locks --portfolio main")[1])[:1]
    accept = ["scizor", "risk", "accept-break", found, "--reason", "'shares that I bought by hand and keep'"]
    assert shell.type(" ".join(accept))[0] == 0


@pytest.mark.parametrize("guide", ["paper-to-live.md", "recover.md"])
def test_a_guide_can_be_followed_after_the_tutorial(reader: Reader, guide: str) -> None:
    shell = reader()
    for block in blocks_of(GUIDES / guide):
        for item in block.commands if block.marker == "run" else ():
            code, said = shell.type(item.line)
            assert code == EXITS.get(item.line, 0), f"{block.place}: {item.line}\n{said}"
