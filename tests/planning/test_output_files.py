"""The files of a plan: all of one plan or none of it, whatever the disk says."""

import errno
import os
from pathlib import Path

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


def test_every_file_is_on_the_disk_and_hidden_before_the_first_one_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(descriptor: int) -> None:
        done.append("on disk")
        sync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append(target.name)
        assert source.relative_to(tmp_path).parts[0].startswith(".plan-")
        replace(source, target)

    monkeypatch.setattr(output_files.os, "fsync", noted_sync)
    monkeypatch.setattr(output_files.os, "replace", noted_replace)
    output_files._write_all(CONTENTS, tmp_path)
    assert done == ["on disk"] * 3 + list(CONTENTS)


def test_all_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    output_files._write_all(CONTENTS, tmp_path / "deep" / "er")
    assert {path.name: path.read_text() for path in (tmp_path / "deep" / "er").iterdir()} == CONTENTS
