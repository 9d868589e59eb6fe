"""The files of a plan: all of one plan or none of it, whatever the disk says."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scizor_dagster.planning import output_files

CONTENTS = {"a.csv": "new a", "b.csv": "new b", "c.csv": "new c"}


@pytest.mark.parametrize("failing", CONTENTS)
def test_a_file_that_cannot_be_replaced_brings_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "a.csv").write_text("old a")
    (tmp_path / "c.csv").write_text("old c")
    replace = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / failing and "fresh" in Path(source).parts:
            raise OSError(errno.EPERM, "Operation not permitted")
        replace(source, target)

    monkeypatch.setattr(output_files.os, "replace", refuse)
    with pytest.raises(OSError, match="not permitted"):
        output_files._write_all(CONTENTS, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "old a", "c.csv": "old c"}


def test_every_file_is_on_the_disk_before_the_first_one_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("fsync", "replace"):
        monkeypatch.setattr(output_files.os, name, _noted(done, name, getattr(os, name)))
    output_files._write_all(CONTENTS, tmp_path)
    assert done == ["fsync"] * 3 + ["replace"] * 3


def _noted(done: list[str], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any) -> Any:
        done.append(name)
        return call(*arguments)

    return noted


def test_all_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    output_files._write_all(CONTENTS, tmp_path / "deep" / "er")
    assert {path.name: path.read_text() for path in (tmp_path / "deep" / "er").iterdir()} == CONTENTS
