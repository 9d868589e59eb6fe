"""A backup is the ledger: whole, at one instant, and back in any empty one."""

import io
import json
import os
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scizor_dagster.errors import InputError, LedgerError
from scizor_dagster.ledger import backup as backups
from scizor_dagster.ledger.backup import MANIFEST, Manifest, read_manifest, restore, write_backup
from scizor_dagster.ledger.events import append
from scizor_dagster.ledger.replay import VENUE, journaled, stored_rows
from scizor_dagster.ledger.schema import metadata
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.tables import events, leases
from scizor_dagster.ledger.verification import verify
from tests.ledger.lived import live_through
from tests.ledgers import sqlite_ledger

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
DAMAGES = 20_000 if os.environ.get("SCIZOR_TORTURE") else 120


def _nothing(connection: sa.Connection) -> None:
    assert connection.in_transaction()


@pytest.fixture
def lived(ledger: Ledger) -> Ledger:
    live_through(ledger)
    return ledger


@pytest.fixture
def backup(lived: Ledger, tmp_path: Path) -> Path:
    path = tmp_path / "backups" / "l.zip"
    write_backup(lived, path, now=NOW)
    return path


@pytest.fixture
def empty(store: str, tmp_path: Path, new_ledger: Callable[[], str]) -> Iterator[Ledger]:
    """An empty ledger on the other kind of store: a backup is the way from one to the other."""
    url = new_ledger() if store == "sqlite" else sqlite_ledger(tmp_path / "other")
    opened = Ledger.open(url, synchronous="OFF")
    yield opened
    opened.close()


def _edited(path: Path, member: str, edit: Callable[[bytes], bytes]) -> Path:
    target = path.with_name("edited.zip")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, edit(source.read(name)) if name == member else source.read(name))
    return target


def _counted_anew(path: Path) -> Path:
    """The backup with the counts and digests that its members have."""
    counted, member = path.with_name("counted.zip"), "events.jsonl"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(counted, "w") as archive:
        text, body = source.read(member), json.loads(source.read(MANIFEST))
        body["rows"]["events"], body["digests"]["events"] = text.count(b"\n"), sha256(text).hexdigest()
        for name in source.namelist():
            archive.writestr(name, json.dumps(body) if name == MANIFEST else source.read(name))
    return counted


def test_a_restored_ledger_holds_what_was_backed_up_and_verifies(lived: Ledger, backup: Path, empty: Ledger) -> None:
    manifest = restore(empty, backup, then=_nothing)
    with lived.read() as before, empty.read() as after:
        for table in [*journaled(), events]:
            assert stored_rows(before, table) == stored_rows(after, table), table.name
            assert manifest.rows.get(table.name, 0) in (0, len(stored_rows(after, table)))
        assert verify(after, seq=manifest.seq, seal=manifest.seal) == []


def test_a_holder_from_before_the_backup_can_write_nothing_in_the_restored_ledger(
    lived: Ledger, backup: Path, empty: Ledger
) -> None:
    restore(empty, backup, then=_nothing)
    with lived.read() as before, empty.read() as after:
        old, new = (connection.execute(sa.select(leases)).one() for connection in (before, after))
    assert (new.token, new.holder) == (old.token + 1, None)


def test_what_is_written_after_a_restore_goes_on_with_the_same_chain(backup: Path, empty: Ledger) -> None:
    manifest = restore(empty, backup, then=_nothing)
    with empty.transaction() as connection:
        assert append(connection, NOW, "paper", "note", {}) == manifest.seq + 1
    with empty.read() as connection:
        assert verify(connection, seq=manifest.seq, seal=manifest.seal) == []


def test_a_ledger_that_is_not_empty_is_not_restored_over(lived: Ledger, backup: Path) -> None:
    with pytest.raises(LedgerError, match="not empty: there are rows in"):
        restore(lived, backup, then=_nothing)


def test_a_backup_that_was_edited_restores_nothing(backup: Path, empty: Ledger) -> None:
    edits = {
        "events.jsonl": lambda text: text.replace(b'"AAA', b'"ZZZ', 1),
        "leases.jsonl": lambda text: text.replace(b"paper", b"PAPER", 1),
        MANIFEST: lambda text: text.replace(json.loads(text)["seal"].encode(), b"0" * 64),
    }
    for member, edit in edits.items():
        with pytest.raises((InputError, LedgerError)):
            restore(empty, _edited(backup, member, edit), then=_nothing)
    with empty.read() as connection:
        assert all(not stored_rows(connection, table) for table in metadata.sorted_tables)
    restore(empty, backup, then=_nothing)


def _compressed(raw: bytes, name: str) -> tuple[int, int]:
    """Where the compressed bytes of a member begin, and how many they are."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        info = archive.getinfo(name)
    names = int.from_bytes(raw[info.header_offset + 26 : info.header_offset + 28], "little")
    extra = int.from_bytes(raw[info.header_offset + 28 : info.header_offset + 30], "little")
    return info.header_offset + 30 + names + extra, info.compress_size


@pytest.mark.parametrize("member", ["events.jsonl", MANIFEST])
@pytest.mark.parametrize("damage", ["garbage", "zeros", "half of it", "a flag of the directory"])
def test_a_backup_whose_bytes_have_rotted_is_refused_by_name(
    backup: Path, empty: Ledger, member: str, damage: str
) -> None:
    raw = bytearray(backup.read_bytes())
    begins, size = _compressed(bytes(raw), member)
    if damage == "a flag of the directory":
        # Says that the member is encrypted.
        entry = re.search(b"PK\x01\x02.{24}" + bytes([len(member), 0]) + b".{16}" + member.encode(), raw, re.DOTALL)
        assert entry is not None
        raw[entry.start() + 8] |= 1
    else:
        middle = begins + size // 2
        raw[middle : begins + size] = {"garbage": b"\xff", "zeros": b"\0", "half of it": b""}[damage] * (
            size - size // 2
        )
    backup.write_bytes(bytes(raw))
    with pytest.raises(InputError) as refusal:
        restore(empty, backup, then=_nothing)
    assert (refusal.value.where, "backup" in refusal.value.problem) == (str(backup), True)
    with empty.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(events)).scalar() == 0


def test_a_history_that_was_cut_short_and_sealed_anew_in_the_manifest_restores_what_it_still_says(
    backup: Path, empty: Ledger
) -> None:
    with zipfile.ZipFile(backup) as archive:
        lines = archive.read("events.jsonl").splitlines(keepends=True)
    cut = _edited(backup, "events.jsonl", lambda _: b"".join(lines[:-1]))
    with pytest.raises(InputError, match=r"events\.jsonl is not what the manifest says"):
        restore(empty, cut, then=_nothing)


def test_a_failure_after_the_rows_are_in_leaves_the_ledger_empty(backup: Path, empty: Ledger) -> None:
    def fail(_: sa.Connection) -> None:
        raise RuntimeError("no halt, no restore")

    with pytest.raises(RuntimeError, match="no halt"):
        restore(empty, backup, then=fail)
    with empty.read() as connection:
        assert all(not stored_rows(connection, table) for table in metadata.sorted_tables)


@pytest.mark.parametrize("content", [b"", b"no zip at all", None])
def test_what_is_no_backup_is_refused_by_name(tmp_path: Path, empty: Ledger, content: bytes | None) -> None:
    path = tmp_path / "no.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="no backup of a ledger") as refused:
        restore(empty, path, then=_nothing)
    assert refused.value.where == str(path)


def test_a_backup_of_a_newer_version_is_refused(backup: Path, empty: Ledger) -> None:
    newer = _edited(backup, MANIFEST, lambda text: text.replace(b'"schema": "0', b'"schema": "9'))
    with pytest.raises(InputError, match="newer version"):
        restore(empty, newer, then=_nothing)


def test_a_file_that_exists_is_not_written_over_and_no_part_of_one_stays(
    lived: Ledger, backup: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="There is a file already") as there:
        write_backup(lived, backup, now=NOW)
    assert there.value.where == str(backup)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written") as barred:
        write_backup(lived, tmp_path / "file" / "l.zip", now=NOW)
    assert barred.value.where == str(tmp_path / "file" / "l.zip")
    assert [path.name for path in backup.parent.iterdir()] == ["l.zip"]


def test_two_backups_into_one_file_at_a_time_leave_a_whole_one(
    lived: Ledger, empty: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "l.zip", backups._write

    def with_another_in_between(*given: Any) -> Manifest:
        monkeypatch.undo()
        write_backup(lived, path, now=NOW)
        return write(*given)

    monkeypatch.setattr(backups, "_write", with_another_in_between)
    write_backup(lived, path, now=NOW)
    assert restore(empty, path, then=_nothing).rows["events"] > 0
    assert list(tmp_path.glob(".*")) == []


def test_a_writer_is_not_kept_waiting_by_a_backup_which_holds_one_instant(lived: Ledger, tmp_path: Path) -> None:
    with lived.read() as reader:
        before = reader.execute(sa.select(sa.func.max(events.c.seq))).scalar_one()
        with lived.transaction() as writer:
            append(writer, NOW, "paper", "note", {})
        assert reader.execute(sa.select(sa.func.max(events.c.seq))).scalar_one() == before
    manifest = write_backup(lived, tmp_path / "l.zip", now=NOW)
    assert manifest.seq == before + 1
    assert read_manifest(tmp_path / "l.zip") == manifest
    assert any(name.startswith(VENUE) for name in manifest.rows)


def test_a_backup_of_which_any_byte_is_another_one_restores_all_of_it_or_says_that_it_is_not_whole(
    backup: Path, empty: Ledger, record_property: Any
) -> None:
    class Whole(Exception):
        """Raised instead of committing, so that the ledger stays empty for the next one."""

    def stop(connection: sa.Connection) -> None:
        assert stored_rows(connection, events)
        raise Whole

    chance, good, counts = random.Random(8), backup.read_bytes(), {"refused": 0, "whole": 0}
    path = backup.with_name("damaged.zip")
    for _ in range(DAMAGES):
        damaged = bytearray(good)
        damaged[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            restore(empty, path, then=stop)
        except Whole:
            counts["whole"] += 1
        except (InputError, LedgerError):
            counts["refused"] += 1
    with empty.read() as connection:
        assert all(not stored_rows(connection, table) for table in metadata.sorted_tables)
    record_property("damaged backups", counts)
    # Times and names in the zip's own directory may be others.
    assert counts["refused"] > DAMAGES / 2


def test_a_backup_that_was_cut_off_anywhere_restores_nothing(backup: Path, empty: Ledger) -> None:
    good, path = backup.read_bytes(), backup.with_name("cut.zip")
    for length in range(0, len(good), len(good) // 50):
        path.write_bytes(good[:length])
        with pytest.raises(InputError, match="no backup of a ledger"):
            restore(empty, path, then=_nothing)


@pytest.mark.parametrize("line", [b"[]", b"5", b"{", b'{"seq": "one"}', b'{"at": "noon"}', b"{}"])
def test_a_history_of_which_a_line_is_no_entry_is_not_whole(backup: Path, empty: Ledger, line: bytes) -> None:
    edited = _edited(backup, "events.jsonl", lambda text: text + line + b"\n")
    with pytest.raises(InputError, match=r"The backup is not whole \(events\.jsonl is not what the manifest says\)"):
        restore(empty, edited, then=_nothing)
    with pytest.raises(InputError, match=r"The backup is not whole \(.+\)"):
        restore(empty, _counted_anew(edited), then=_nothing)
    with empty.read() as connection:
        assert stored_rows(connection, events) == {}


@pytest.mark.parametrize("rows", [None, [], {}, {"events": "many"}])
def test_a_manifest_that_does_not_count_the_rows_is_that_of_no_whole_backup(
    backup: Path, empty: Ledger, rows: object
) -> None:
    edited = _edited(backup, MANIFEST, lambda text: json.dumps(json.loads(text) | {"rows": rows}).encode())
    with pytest.raises(InputError, match="no backup of a ledger" if rows != {} else "not whole"):
        restore(empty, edited, then=_nothing)


@pytest.mark.parametrize("change", [{"format": "one"}, {"format": None}, {"schema": 9}, {"seq": "last"}])
def test_a_manifest_of_other_kinds_of_values_is_that_of_no_backup(
    backup: Path, empty: Ledger, change: dict[str, object]
) -> None:
    edited = _edited(backup, MANIFEST, lambda text: json.dumps(json.loads(text) | change).encode())
    with pytest.raises(InputError, match="no backup of a ledger"):
        restore(empty, edited, then=_nothing)


def test_a_backup_from_before_a_table_was_added_leaves_that_one_empty(
    lived: Ledger, backup: Path, empty: Ledger
) -> None:
    newest = max(name for name in metadata.tables if name.startswith(VENUE))

    def without(text: bytes) -> bytes:
        manifest = json.loads(text)
        for part in ("rows", "digests"):
            del manifest[part][newest]
        return json.dumps(manifest).encode()

    restore(empty, _edited(backup, MANIFEST, without), then=_nothing)
    with lived.read() as before, empty.read() as after:
        assert stored_rows(after, metadata.tables[newest]) == {}
        assert stored_rows(after, events) == stored_rows(before, events)


def test_a_history_of_more_rows_than_are_written_at_once_is_restored_whole(
    lived: Ledger, backup: Path, empty: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lived.read() as connection:
        held = stored_rows(connection, events)
    for size in (1, 7, len(held)):
        monkeypatch.setattr(backups, "_BATCH", size)
        target = backup.with_name(f"{size}.zip")
        assert write_backup(lived, target, now=NOW).digests == read_manifest(backup).digests
    monkeypatch.setattr(backups, "_BATCH", 7)
    restore(empty, backup, then=_nothing)
    with empty.read() as connection:
        assert stored_rows(connection, events) == held
        assert verify(connection) == []


def test_a_disk_that_is_full_is_no_fault_of_the_backup(backup: Path, tmp_path: Path) -> None:
    ledger = Ledger.open(sqlite_ledger(tmp_path / "small"), synchronous="OFF")

    @sa.event.listens_for(ledger.engine, "connect")
    def small(connection: Any, _record: Any) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")

    ledger.close()
    with pytest.raises(LedgerError, match="database or disk is full") as failure:
        restore(ledger, backup, then=_nothing)
    assert failure.value.where == ledger.place
    with ledger.read() as connection:
        assert all(not stored_rows(connection, table) for table in metadata.sorted_tables)
    ledger.close()
