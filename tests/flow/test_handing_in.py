"""A file that is handed in lies where one of the folder would, whole or not at all, and who brought it is known."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml

from scizor_dagster.errors import ConfigError, InputError, LedgerError, SignalRefused
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.handing_in import FOLDER, Sender, hand_in
from scizor_dagster.ledger.deliveries import deliveries_of
from tests.projects import MANIFEST, small_project

NOW = datetime(2025, 2, 15, 12, tzinfo=UTC)
ADA = Sender("ada", "r" * 32)
HEADER = "trade_date,asset_id,target_weight\n"
GOOD = f"{HEADER}2025-02-03,AAPL,0.3\n2025-02-03,MSFT,0.3\n".encode()
BETTER = f"{HEADER}2025-02-10,AAPL,0.4\n2025-02-10,MSFT,0.4\n".encode()
BAD = f"{HEADER}2025-02-03,AAPL,0.3\n2025-02-03,MSFT,=1+1\n".encode()


def desk_with(folder: Path, **changes: object) -> Desk:
    desk = Desk(small_project(folder).settings, lambda: NOW)
    manifest = {"strategies": [MANIFEST["strategies"][0] | changes]}
    (folder / "strategy_manifest.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return desk


def files(folder: Path) -> dict[str, bytes]:
    """Every weight file, and whatever is left of judging one."""
    found = [*folder.glob("*.csv*"), *(folder / "home" / FOLDER).glob("*")]
    return {path.name: path.read_bytes() for path in found if path.name != "universe.csv"}


def test_a_file_lies_at_the_strategys_path_and_its_sender_in_the_ledger(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    made = hand_in(desk, "weekly", GOOD, ADA)
    assert files(tmp_path) == {"weights.csv": GOOD}
    assert (made.fresh, made.report.status, made.sessions) == (True, "accepted", (date(2025, 2, 3),))
    with desk.ledger.read() as connection:
        [row] = deliveries_of(connection, "weekly", hashlib.sha256(GOOD).hexdigest())
    assert row == made.delivery
    assert (row.actor, row.request_id, row.path) == ("ada", "r" * 32, str(tmp_path / "weights.csv"))


def test_the_same_content_again_changes_nothing(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    first = hand_in(desk, "weekly", GOOD, ADA)
    again = hand_in(desk, "weekly", GOOD, Sender("bob"))
    assert (again.fresh, again.delivery) == (False, first.delivery)
    hand_in(desk, "weekly", BETTER, ADA)
    assert hand_in(desk, "weekly", GOOD, Sender("bob")).delivery.actor == "bob"


def test_a_file_that_lay_there_before_it_was_handed_in_gets_its_sender(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    (tmp_path / "weights.csv").write_bytes(GOOD)
    made = hand_in(desk, "weekly", GOOD, ADA)
    assert (made.fresh, made.delivery.actor) == (False, "ada")


def test_a_refused_file_leaves_the_last_good_one_and_says_every_reason(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    hand_in(desk, "weekly", GOOD, ADA)
    with pytest.raises(SignalRefused) as refused:
        hand_in(desk, "weekly", BAD, ADA)
    assert files(tmp_path) == {"weights.csv": GOOD}
    assert [(item.line, item.value) for item in refused.value.violations] == [(3, "=1+1")]  # type: ignore[attr-defined]
    assert "line 3" in refused.value.problem
    assert "Nothing was changed" in refused.value.remedy
    assert str(tmp_path) not in str(refused.value)


def test_a_file_without_rows_for_the_session_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    assert hand_in(desk, "weekly", GOOD, ADA, date(2025, 2, 3)).report.session == date(2025, 2, 3)
    with pytest.raises(SignalRefused, match="no_rows_for_session"):
        hand_in(desk, "weekly", BETTER, ADA, date(2025, 2, 11))
    assert files(tmp_path) == {"weights.csv": GOOD}


def test_a_held_file_lies_there_and_says_what_a_person_must_approve(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    made = hand_in(desk, "weekly", f"{HEADER}2025-02-03,AAPL,0\n".encode(), ADA)
    assert (made.report.status, [item.rule for item in made.report.violations]) == ("held", ["all_zero"])
    assert set(files(tmp_path)) == {"weights.csv"}


def test_each_file_of_a_pattern_gets_a_name_of_our_own_and_no_session_twice(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, path="weights_*.csv")
    names = [Path(hand_in(desk, "weekly", data, ADA).delivery.path).name for data in (GOOD, BETTER)]
    assert names[0] == f"weights_2025-02-03-{hashlib.sha256(GOOD).hexdigest()[:12]}.csv"
    assert set(files(tmp_path)) == set(names)
    assert not hand_in(desk, "weekly", GOOD, ADA).fresh
    with pytest.raises(SignalRefused, match="two_files_one_date"):
        hand_in(desk, "weekly", GOOD.replace(b"0.3", b"0.2"), ADA)
    assert set(files(tmp_path)) == set(names)


@pytest.mark.parametrize("pattern", ["weights_?.csv", "weights_*_*.csv", "weights_[ab].csv"])
def test_a_pattern_that_no_name_can_be_made_of_takes_nothing(tmp_path: Path, pattern: str) -> None:
    desk = desk_with(tmp_path, path=pattern)
    with pytest.raises(InputError, match="No name can be given"):
        hand_in(desk, "weekly", GOOD, ADA)


def test_a_checksum_beside_the_file_is_made_that_of_the_new_one(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    (tmp_path / "weights.csv.sha256").write_text("0" * 64, encoding="utf-8")
    hand_in(desk, "weekly", GOOD, ADA)
    assert not hand_in(desk, "weekly", GOOD, ADA).fresh
    assert files(tmp_path)["weights.csv.sha256"].startswith(hashlib.sha256(GOOD).hexdigest().encode())


def test_a_link_in_the_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_bytes(GOOD)
    (tmp_path / "weights.csv").symlink_to(elsewhere)
    assert hand_in(desk, "weekly", BETTER, ADA).fresh
    assert elsewhere.read_bytes() == GOOD
    assert not (tmp_path / "weights.csv").is_symlink()


def test_a_strategy_that_computes_or_is_not_there_takes_no_file(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    with pytest.raises(ConfigError, match="no strategy 'other'"):
        hand_in(desk, "other", GOOD, ADA)
    computing = {"strategies": [{"id": "weekly", "function": "momentum"}]}
    (tmp_path / "strategy_manifest.yaml").write_text(yaml.safe_dump(computing), encoding="utf-8")
    with pytest.raises(InputError, match="computes its weights"):
        hand_in(Desk(desk.settings, lambda: NOW), "weekly", GOOD, ADA)


def test_two_who_hand_in_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    desk = desk_with(tmp_path)
    with desk.ledger.process_lock("weights-weekly") as held:
        assert held
        with pytest.raises(LedgerError, match="Another file is being handed in"):
            hand_in(desk, "weekly", GOOD, ADA)
    assert files(tmp_path) == {}


def test_a_folder_that_cannot_be_written_is_an_error_and_no_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(tmp_path, path="gone/weights.csv")
    (tmp_path / "gone").write_text("a file in the folder's place", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be laid"):
        hand_in(desk, "weekly", GOOD, ADA)
    with desk.ledger.read() as connection:
        assert deliveries_of(connection, "weekly") == []
