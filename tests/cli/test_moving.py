"""`scizor backup` and `scizor restore`: the home kept elsewhere, lost, and brought back."""

import gc
import json
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scizor_dagster.flow import archives, moving, restoring
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.moving import contents_of
from tests.cli.conftest import NEXT, TRADED, Answer, Scizor
from tests.projects import Project

SENT = "SELECT client_order_id, qty FROM paper_orders ORDER BY client_order_id"
OWNED = "SELECT portfolio, symbol, CAST(qty AS REAL) FROM positions ORDER BY symbol"
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM events").fetchone()
print(1, flush=True)
sys.stdin.read()
"""
SECRET = "a-secret-of-the-environment"


def _rows(project: Project, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(project.settings.ledger_file) as connection:
        return connection.execute(statement).fetchall()


def _lake(project: Project) -> dict[str, tuple[int, str]]:
    lake = Lake(LakeLocation.embedded(project.home / "lake"))
    try:
        return contents_of(lake)
    finally:
        lake.close()


def _backed_up(scizor: Scizor, place: Path, *options: object) -> Path:
    answer = scizor("backup", place, "--json", *options)
    assert answer.code == 0, answer
    return Path(answer.json["folder"])


def _restore(scizor: Scizor, *arguments: object) -> Answer:
    # Earlier commands of this process have ended: so have their connections.
    gc.collect()
    return scizor("restore", *arguments)


def _lose(project: Project) -> None:
    shutil.rmtree(project.home)


def test_a_home_that_is_lost_comes_back_with_every_row_and_trades_on_once_it_is_resumed(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    (collected.folder / ".env").write_text(f"APCA_API_SECRET_KEY={SECRET}\n")
    folder = _backed_up(scizor, tmp_path / "kept", "--with-dagster")
    assert all(SECRET.encode() not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    sent, owned, lake = _rows(collected, SENT), _rows(collected, OWNED), _lake(collected)
    assert sent
    assert owned
    _lose(collected)
    restored = _restore(scizor, folder, "--by", "ann", "--json")
    assert (restored.code, restored.json["parts"]) == (0, ["ledger", "lake", "dagster"]), restored
    assert (restored.json["halted"], restored.json["configuration"]) == (["paper"], [])
    assert (_rows(collected, SENT), _rows(collected, OWNED), _lake(collected)) == (sent, owned, lake)
    assert scizor("ledger", "verify", "--against", folder).code == 0
    assert _rows(collected, "SELECT account, state FROM trading_states") == [("paper", "halted")]
    assert scizor("resume", "--account", "paper", "--reason", "compared with the broker").code == 0
    assert scizor("run", "--date", TRADED, "--once").code == 0
    assert _rows(collected, SENT) == sent
    assert scizor("run", "--date", NEXT, "--once").code == 0
    assert len(_rows(collected, SENT)) > len(sent)


def test_a_state_of_the_lake_that_a_plan_names_can_be_read_in_the_restored_one(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    with sqlite3.connect(collected.home / "lake" / "catalog.sqlite") as catalog:
        (before,) = catalog.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()
    folder = _backed_up(scizor, tmp_path / "kept")
    lake = Lake(LakeLocation.embedded(collected.home / "lake"))
    with lake.at(before) as then:
        expected = contents_of(then)
    lake.close()
    _lose(collected)
    assert _restore(scizor, folder).code == 0
    with Lake(LakeLocation.embedded(collected.home / "lake")).at(before) as then:
        assert contents_of(then) == expected
    assert scizor("replay", "--date", TRADED).code == 0


def test_what_is_there_is_replaced_only_where_that_is_said_and_is_moved_aside(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    before = _rows(collected, OWNED)
    refused = _restore(scizor, folder)
    assert (refused.code, "Give --replace" in refused.sentence) == (2, True)
    assert _rows(collected, "SELECT * FROM trading_states") == []
    lake = (collected.home / "lake" / "catalog.sqlite").stat().st_ino
    answer = _restore(scizor, folder, "--replace", "--only", "ledger", "--json")
    assert (answer.code, answer.json["parts"]) == (0, ["ledger"])
    aside = Path(answer.json["aside"])
    assert [path.name for path in aside.iterdir()] == ["ledger.sqlite"]
    assert _rows(collected, OWNED) == before
    assert (collected.home / "lake" / "catalog.sqlite").stat().st_ino == lake
    with sqlite3.connect(aside / "ledger.sqlite") as old:
        assert old.execute(OWNED).fetchall() == before
        assert old.execute("SELECT * FROM trading_states").fetchall() == []


@pytest.mark.parametrize("damage", ["a byte", "a missing file", "a file more", "a manifest that is none"])
def test_a_backup_that_is_not_whole_restores_nothing_and_names_the_file(
    scizor: Scizor, collected: Project, tmp_path: Path, damage: str
) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    file = max((folder / "lake").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    if damage == "a byte":
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
    elif damage == "a missing file":
        file.unlink()
    elif damage == "a file more":
        file = folder / "more"
        file.write_text("x")
    else:
        file = folder / archives.MANIFEST
        file.write_text("{}")
    _lose(collected)
    answer = _restore(scizor, folder)
    assert answer.code == 2, answer
    assert ("manifest" if damage.startswith("a manifest") else file.name) in answer.sentence
    assert not collected.home.exists() or list(collected.home.iterdir()) == []


def test_only_so_many_backups_are_kept_and_nothing_else_in_the_folder_is_touched(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    place = tmp_path / "kept"
    (place / "scizor-20200101T000000Z").mkdir(parents=True)
    (place / "scizor-20200101T000000Z" / "mine.txt").write_text("not a backup")
    whole = _backed_up(scizor, place)
    first = _backed_up(scizor, place, "--only", "ledger")
    made = [_backed_up(scizor, place, "--only", "ledger", "--keep", 2) for _ in range(2)]
    assert not first.exists()
    assert archives.archives_in(place) == [whole, *made], "one of the ledger alone took a whole one's place"
    (made[0] / archives.MANIFEST).write_text("{}")
    again = [_backed_up(scizor, place, "--keep", 2) for _ in range(2)]
    assert archives.archives_in(place) == [made[0], *again], "what cannot be read is a person's"
    assert (place / "scizor-20200101T000000Z" / "mine.txt").exists()
    assert (collected.home / "marks" / "backup").exists()


def test_a_home_that_has_lost_its_ledger_is_not_backed_up_as_if_it_had_never_had_one(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    collected.settings.ledger_file.unlink()
    refused = scizor("backup", tmp_path / "kept")
    assert refused.code == 1
    assert "The ledger is gone, and 1 session(s) were traded with it" in refused.sentence
    assert not (tmp_path / "kept").exists()
    found = scizor("watchdog", "--json").json["findings"]
    assert [item["problem"] for item in found if "The ledger is gone" in item["problem"]]
    # What can be had is had, and does not count as a backup.
    _backed_up(scizor, tmp_path / "kept", "--only", "lake")
    assert not (collected.home / "marks" / "backup").exists()


def test_archives_of_one_second_keep_their_order_also_when_older_ones_are_gone(tmp_path: Path) -> None:
    now = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    (tmp_path / "of_a_person").mkdir()
    made = []
    for _ in range(11):
        made.append(tmp_path / archives.next_name(tmp_path, now))
        made[-1].mkdir()
        (made[-1] / archives.MANIFEST).write_text("{}")
    assert [path.name for path in made[:2]] == ["scizor-20260203T040506Z", "scizor-20260203T040506Z-2"]
    assert archives.archives_in(tmp_path) == made
    shutil.rmtree(made[0])
    assert archives.next_name(tmp_path, now) == "scizor-20260203T040506Z-12"


def test_what_a_backup_that_died_has_left_is_never_taken_for_one_and_goes_with_the_next(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    left = tmp_path / "kept" / ".scizor-20260101T000000Z.part"
    left.mkdir(parents=True)
    (left / "ledger.zip").write_text("half")
    assert archives.archives_in(tmp_path / "kept") == []
    _backed_up(scizor, tmp_path / "kept", "--only", "ledger")
    assert not left.exists()


@pytest.mark.parametrize("moment", ["put_aside", "end_move"])
def test_a_restore_that_dies_while_files_change_places_leaves_a_home_that_trades_nothing_until_it_is_repeated(
    scizor: Scizor, collected: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    sent = _rows(collected, SENT)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring.moving, moment, die)
        assert _restore(scizor, folder, "--replace").code == 130
    refused = scizor("run", "--date", NEXT, "--once")
    assert refused.code == 1
    assert f"scizor restore {folder} --replace" in refused.sentence
    assert _restore(scizor, folder, "--replace").code == 0
    assert not moving.mark_of(collected.settings).exists()
    assert _rows(collected, SENT) == sent


def test_nothing_is_replaced_while_another_process_has_the_ledger_open(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    other = subprocess.Popen(
        [sys.executable, "-c", READER, str(collected.settings.ledger_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"1\n"
    answer = _restore(scizor, folder, "--replace")
    other.communicate()
    assert (answer.code, "Another process has the ledger open" in answer.sentence) == (1, True), answer
    assert _said_nothing_moved(answer)
    assert _restore(scizor, folder, "--replace").code == 0


def _said_nothing_moved(answer: Answer) -> bool:
    return "Nothing was moved" in answer.sentence


def test_a_file_of_the_configuration_that_has_changed_since_is_named_and_stays(
    scizor: Scizor, collected: Project, tmp_path: Path
) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    text = (collected.folder / "universe.csv").read_text()
    (collected.folder / "universe.csv").write_text(text + "TSLA,XNAS,TSLA,USD,Technology,,XNAS\n")
    answer = _restore(scizor, folder, "--replace", "--json")
    assert answer.json["configuration"] == ["universe.csv"]
    assert "TSLA" in (collected.folder / "universe.csv").read_text()
    assert (folder / "config" / "universe.csv").read_text() == text


def test_an_empty_home_has_nothing_to_back_up_and_gets_no_store_by_asking(scizor: Scizor, fresh: Project) -> None:
    answer = scizor("backup")
    assert (answer.code, "nothing to back up" in answer.sentence) == (2, True)
    assert not fresh.home.exists()


def test_a_backup_says_what_is_not_in_it(scizor: Scizor, collected: Project, tmp_path: Path) -> None:
    folder = _backed_up(scizor, tmp_path / "kept")
    left_out = json.loads((folder / archives.MANIFEST).read_text())["left_out"]
    assert [words.split(":")[0] for words in left_out] == ["secrets", "Dagster's storage"]
    assert not (folder / "dagster").exists()
