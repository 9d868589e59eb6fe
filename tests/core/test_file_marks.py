"""Whether a file was written since it was looked at."""

from __future__ import annotations

import os
import time
from pathlib import Path

from scizor_dagster.file_marks import SETTLED_NS, is_settled, mark_of, sqlite_files


def test_whatever_is_written_or_put_in_a_files_place_changes_its_mark(tmp_path: Path) -> None:
    files = sqlite_files(tmp_path / "some.sqlite")
    marks = [mark_of(files)]
    for text in ("a", "b", "longer"):
        files[1].write_text(text)
        os.utime(files[1], ns=(0, len(marks)))
        marks.append(mark_of(files))
    copied = tmp_path / "copied"
    copied.write_text("longer")
    os.utime(copied, ns=(0, 3))
    copied.replace(files[1])
    assert len({*marks, mark_of(files)}) == 5


def test_a_mark_is_believed_when_the_newest_file_was_written_long_enough_before(tmp_path: Path) -> None:
    files, now = sqlite_files(tmp_path / "some.sqlite"), time.time_ns()
    for file, age in zip(files, (10 * SETTLED_NS, SETTLED_NS), strict=True):
        file.touch()
        os.utime(file, ns=(0, now - age))
    mark = mark_of(files)
    assert not is_settled(mark, now)
    assert is_settled(mark, now + 1)
    assert not is_settled(mark, now - 20 * SETTLED_NS)
    assert not is_settled((), now)
