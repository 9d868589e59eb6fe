"""When something was done last is kept in the home, and what cannot be read is nothing."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from scizor_dagster.marks import BACKUP, leave, left

AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def test_the_newest_mark_is_read_and_each_has_its_own(tmp_path: Path) -> None:
    assert left(tmp_path, BACKUP) is None
    leave(tmp_path, BACKUP, AT)
    leave(tmp_path, BACKUP, (AT + timedelta(days=1)).astimezone(timezone(timedelta(hours=10))))
    leave(tmp_path, "other", AT)
    assert left(tmp_path, BACKUP) == AT + timedelta(days=1)
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == [BACKUP, "other"]


@pytest.mark.parametrize("text", ["", "no instant", "2026-03-02T14:30:00", "{}"])
def test_a_mark_that_says_no_instant_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "marks").mkdir()
    (tmp_path / "marks" / BACKUP).write_text(text, encoding="utf-8")
    assert left(tmp_path, BACKUP) is None
