"""Files that belong together: all of one call or none of it, whatever the disk says."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scizor_dagster.errors import DataError, InputError
from scizor_dagster.tabular import whole_files
from scizor_dagster.tabular.whole_files import write_whole

CONTENTS = {"a.csv": b"new a", "sub/b.csv": b"new b", "c.csv": b"new c"}


def write(folder: Path, **more: tuple[str, ...]) -> dict[str, Path]:
    return write_whole(CONTENTS.items(), folder, what="The set", remedy="Name another folder.", **more)


def found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("failing", [*CONTENTS, "old.csv"])
@pytest.mark.parametrize("sub", [True, False])
def test_a_file_that_cannot_be_replaced_brings_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, sub: bool
) -> None:
    before = {"a.csv": b"old a", "c.csv": b"old c", "old.csv": b"gone"} | ({"sub/b.csv": b"old b"} if sub else {})
    for name, content in before.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    replace, unlink = os.replace, Path.unlink

    def refuse(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / failing and "fresh" in Path(source).parts:
            raise OSError(errno.EPERM, "Operation not permitted")
        replace(source, target)

    def keep(path: Path, missing_ok: bool = False) -> None:
        if path.name == failing == "old.csv":
            raise OSError(errno.EPERM, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(whole_files.os, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", keep)
    with pytest.raises(InputError, match=r"The set cannot be written \(Operation not permitted\)") as refusal:
        write(tmp_path, obsolete=("old.csv",))
    assert (refusal.value.remedy, refusal.value.where) == ("Name another folder.", str(tmp_path))
    assert found(tmp_path) == before
    assert (tmp_path / "sub").exists() == sub


def test_all_files_are_written_what_is_obsolete_goes_and_nothing_else_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    (folder / "old.csv").write_text("old")
    (folder / "mine.txt").write_text("mine")
    written = write(folder, obsolete=("old.csv", "never.csv"))
    assert written == {name: folder / name for name in CONTENTS}
    assert found(folder) == {**CONTENTS, "mine.txt": b"mine"}


def test_what_cannot_be_made_leaves_not_even_a_folder(tmp_path: Path) -> None:
    def contents() -> Iterator[tuple[str, bytes]]:
        yield "a.csv", b"a"
        raise DataError("The rest cannot be read.", remedy="None.")

    with pytest.raises(DataError):
        write_whole(contents(), tmp_path / "deep" / "er", what="The set", remedy="Name another folder.")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_by_a_folder_is_refused_before_anything_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("old")
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(InputError, match="something that is no file has this name"):
        write(tmp_path)
    assert found(tmp_path) == {"a.csv": b"old"}


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="The set cannot be written"):
        write(tmp_path / "out")
    assert found(tmp_path) == {"out": b"mine"}


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
        assert source.relative_to(tmp_path).parts[0].startswith(".writing-")
        replace(source, target)

    monkeypatch.setattr(whole_files.os, "fsync", noted_sync)
    monkeypatch.setattr(whole_files.os, "replace", noted_replace)
    write(tmp_path)
    assert done == ["on disk"] * 3 + [Path(name).name for name in CONTENTS]
