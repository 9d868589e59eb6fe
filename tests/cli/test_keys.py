"""`scizor keys`: made and shown once, listed without the key, closed for good."""

import json

import pytest

from scizor_dagster.ledger.store import Ledger
from tests.cli.conftest import Scizor
from tests.projects import Project

CREATE = ("keys", "create", "dashboard", "--scope", "read", "--scope", "dry-run", "--account", "paper", "--by", "ann")


def test_a_key_is_shown_once_and_kept_as_its_digest_alone(scizor: Scizor, fresh: Project) -> None:
    made = scizor(*CREATE, "--days", 30, "--json").json
    assert (made["name"], made["scopes"], made["accounts"]) == ("dashboard", ["dry-run", "read"], ["paper"])
    (row,) = scizor("keys", "list", "--json").json["keys"]
    assert row == {name: value for name, value in made.items() if name != "key"}
    stored = b"".join(path.read_bytes() for path in fresh.home.glob("ledger.sqlite*"))
    assert made["key"].split("_")[2].encode() not in stored


def test_the_key_stands_alone_on_stdout_so_that_it_can_be_piped(scizor: Scizor, fresh: Project) -> None:
    answer = scizor(*CREATE)
    assert answer.code == 0
    assert answer.out.strip().startswith("scz_")
    assert len(answer.out.split()) == 1
    assert "shown this once" in answer.sentence
    assert answer.out.strip() not in answer.err


def test_a_revoked_key_is_listed_as_such_and_not_revoked_twice(scizor: Scizor, fresh: Project) -> None:
    key_id = scizor(*CREATE, "--json").json["key_id"]
    assert scizor("keys", "revoke", key_id, "--reason", "lost", "--by", "ben").code == 0
    (row,) = scizor("keys", "list", "--json").json["keys"]
    assert (row["state"], row["revoked_by"], row["reason"]) == ("revoked", "ben", "lost")
    again = scizor("keys", "revoke", key_id, "--reason", "lost", "--by", "ben")
    assert (again.code, "revoked already" in again.err) == (1, True)
    assert "revoked" in scizor("keys", "list").out


def test_a_key_for_every_account_says_so(scizor: Scizor, fresh: Project) -> None:
    assert scizor("keys", "create", "me", "--scope", "read", "--all-accounts", "--json").json["accounts"] == ["all"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("me", "--scope", "read"), "sees the accounts that are named"),
        (("me", "--scope", "read", "--account", "paper", "--all-accounts"), "sees the accounts that are named"),
        (("me", "--scope", "read", "--account", "mars"), "no account 'mars'"),
        (("scizor", "--scope", "read", "--account", "paper"), "no person's name"),
        (("me", "--scope", "everything", "--account", "paper"), "everything"),
        (("me", "--scope", "read", "--account", "paper", "--days", "9999"), "366"),
    ],
)
def test_what_makes_no_key_is_refused_before_anything_is_written(
    scizor: Scizor, fresh: Project, arguments: tuple[str, ...], words: str
) -> None:
    answer = scizor("keys", "create", *arguments)
    assert (answer.code, words in answer.err) == (2, True), answer.err
    assert not fresh.home.exists()


def test_without_a_ledger_there_is_no_key_to_list_or_revoke(scizor: Scizor, fresh: Project) -> None:
    assert scizor("keys", "list", "--json").json == {"keys": []}
    assert scizor("keys", "revoke", "0" * 12, "--reason", "lost").code == 2
    assert not fresh.home.exists()


def test_making_and_revoking_stand_in_the_history_without_the_key(scizor: Scizor, fresh: Project) -> None:
    made = scizor(*CREATE, "--json").json
    scizor("keys", "revoke", made["key_id"], "--reason", "lost", "--by", "ben")
    ledger = Ledger.open_to_read(fresh.settings.ledger_url)
    with ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, payload FROM events ORDER BY seq").all()
    ledger.close()
    assert [row[0] for row in rows] == ["api_key_created", "api_key_revoked"]
    assert json.loads(rows[0][1])["created_by"] == "ann"
    assert made["key"] not in str(rows)
