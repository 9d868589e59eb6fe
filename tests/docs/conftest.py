"""The tutorial, followed once for every test that goes on from where it ends."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of
from tests.docs.shell import Shell

TUTORIAL = ROOT / "docs" / "tutorial.md"


def follow(shell: Shell, block: Block) -> None:
    """Do what a block of a page says: write its file, or type its commands and compare what they print."""
    if block.marker == "file":
        place = shell.folder / block.says
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{block.text}\n", encoding="utf-8")
    elif block.marker != "not run":
        for command in block.commands:
            shell.follow(command)


@pytest.fixture(scope="session")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home directory of somebody who has followed the tutorial, word for word."""
    home = tmp_path_factory.mktemp("reader")
    shell = Shell(home, {"HOME": str(home)})
    for block in blocks_of(TUTORIAL):
        follow(shell, block)
    return home


@pytest.fixture
def reader(followed: Path, tmp_path: Path) -> Callable[[], Shell]:
    """Makes terminals in a copy of the tutorial's folder, each with a copy of its own."""

    def sit_down() -> Shell:
        home = tmp_path / f"home-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(followed, home)
        folder = home / "scizor-tutorial"
        return Shell(
            folder,
            {"HOME": str(home), "SCIZOR_CONFIG": str(folder / "config.yaml"), "SCIZOR_HOME": str(folder / "home")},
        )

    return sit_down
