"""Keys of the HTTP services, what was asked with them, and the answers that are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scizor_dagster.errors import LedgerError
from scizor_dagster.ledger.api_answers import (
    AnotherRequest,
    KeptAnswer,
    StillInProgress,
    answer_of,
    begin,
    keep,
    let_go,
)
from scizor_dagster.ledger.api_keys import ApiKey, Scope, add_key, key_of, keys_of, note_use, revoke_key, use_is_due
from scizor_dagster.ledger.api_requests import ApiRequest, note_answer, note_request, requests_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.ledger.verification import verify

NOW = datetime(2026, 3, 4, 21, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = ApiKey(
    "a1b2c3d4e5f6",
    "d" * 64,
    "ada",
    frozenset({Scope.TRADE, Scope.READ}),
    frozenset({"paper", "live"}),
    NOW,
    "operator",
    NOW + timedelta(days=90),
)
ASKED = KeptAnswer(KEY.key_id, "one", "h" * 64, "first", NOW)
REQUEST = ApiRequest("r1", NOW, KEY.key_id, "ada", "127.0.0.1", "POST", "/api/orders", "/api/orders", "one", "h" * 64)


def _alive(_: str) -> bool:
    return True


def _dead(_: str) -> bool:
    return False


def _begin(ledger: Ledger, asked: KeptAnswer, is_alive: Callable[[str], bool] = _alive) -> KeptAnswer | None:
    with ledger.transaction() as connection:
        return begin(connection, asked, is_alive)


@pytest.fixture
def with_key(ledger: Ledger) -> Ledger:
    with ledger.transaction() as connection:
        add_key(connection, KEY)
    return ledger


def test_a_key_comes_back_as_it_was_stored_with_its_scopes_and_accounts(with_key: Ledger) -> None:
    free = replace(KEY, key_id="f" * 12, accounts=None, created_at=NOW + HOUR)
    with with_key.transaction() as connection:
        add_key(connection, free)
    with with_key.read() as connection:
        assert keys_of(connection) == [KEY, free]
        assert key_of(connection, KEY.key_id) == KEY
        assert key_of(connection, "0" * 12) is None
        assert verify(connection) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (replace(KEY, scopes=frozenset()), "needs a scope and an account"),
        (replace(KEY, accounts=frozenset()), "needs a scope and an account"),
        (replace(KEY, expires_at=NOW), "expiry of the key has passed"),
    ],
    ids=["no scope", "no account", "no time"],
)
def test_a_key_that_opens_nothing_is_not_made(ledger: Ledger, key: ApiKey, words: str) -> None:
    with pytest.raises(LedgerError, match=words), ledger.transaction() as connection:
        add_key(connection, key)
    with ledger.read() as connection:
        assert keys_of(connection) == []


def test_a_key_opens_nothing_once_it_is_revoked_or_its_time_is_over(with_key: Ledger) -> None:
    assert KEY.refusal(NOW) == ""
    assert KEY.refusal(KEY.expires_at) == "key expired"
    with with_key.transaction() as connection:
        revoke_key(connection, KEY.key_id, actor="operator", reason="lost", now=NOW + HOUR)
    with with_key.read() as connection:
        found = key_of(connection, KEY.key_id)
        assert verify(connection) == []
    assert found is not None
    assert (found.refusal(NOW + HOUR), found.revoked_by, found.reason) == ("key revoked", "operator", "lost")


def test_what_is_no_key_any_more_is_not_revoked_and_none_without_a_reason(with_key: Ledger) -> None:
    def revoke(key_id: str, reason: str = "lost") -> None:
        with with_key.transaction() as connection:
            revoke_key(connection, key_id, actor="operator", reason=reason, now=NOW)

    with pytest.raises(LedgerError, match="needs a reason"):
        revoke(KEY.key_id, " ")
    with pytest.raises(LedgerError, match="There is no key '000000000000'"):
        revoke("0" * 12)
    revoke(KEY.key_id)
    with pytest.raises(LedgerError, match="is revoked already"):
        revoke(KEY.key_id)


def test_the_use_of_a_key_is_kept_once_an_hour(with_key: Ledger) -> None:
    assert use_is_due(KEY, NOW)
    with with_key.transaction() as connection:
        note_use(connection, KEY.key_id, NOW)
    with with_key.read() as connection:
        used = key_of(connection, KEY.key_id)
    assert used is not None
    assert used.last_used_at == NOW
    assert not use_is_due(used, NOW + HOUR - timedelta(seconds=1))
    assert use_is_due(used, NOW + HOUR)


def test_a_request_is_kept_before_its_answer_and_the_newest_is_told_first(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        first = note_request(connection, REQUEST)
        note_request(connection, replace(REQUEST, request_id="r2", actor="", key_id=None, status=401, outcome="no key"))
    with ledger.transaction() as connection:
        note_answer(connection, first, 200, "", NOW + HOUR)
    with ledger.read() as connection:
        found = requests_of(connection)
        assert [(row.number, row.request_id, row.status) for row in found] == [(2, "r2", 401), (1, "r1", 200)]
        assert found[1] == replace(REQUEST, number=1, status=200, ended_at=NOW + HOUR)
        assert requests_of(connection, actor="ada") == requests_of(connection, before=2) == found[1:]
        assert requests_of(connection, limit=1) == found[:1]
        assert verify(connection) == []


def test_a_request_is_taken_up_once_and_answered_from_then_on_as_the_first_time(ledger: Ledger) -> None:
    assert _begin(ledger, ASKED) is None
    with ledger.transaction() as connection:
        keep(connection, ASKED, 201, {"location": "/api/orders/1"}, "{}", NOW + HOUR)
    kept = _begin(ledger, replace(ASKED, holder="second", begun_at=NOW + HOUR))
    assert kept == replace(ASKED, status=201, headers={"location": "/api/orders/1"}, body="{}")
    with ledger.read() as connection:
        assert verify(connection) == []


def test_a_request_that_is_worked_on_is_not_taken_up_a_second_time(ledger: Ledger) -> None:
    _begin(ledger, ASKED)
    with pytest.raises(StillInProgress):
        _begin(ledger, replace(ASKED, holder="second"))


def test_a_request_whose_worker_is_gone_is_taken_up_by_the_next(ledger: Ledger) -> None:
    _begin(ledger, ASKED)
    assert _begin(ledger, replace(ASKED, holder="second", begun_at=NOW + HOUR), _dead) is None
    with ledger.read() as connection:
        found = answer_of(connection, KEY.key_id, "one")
        assert verify(connection) == []
    assert found is not None
    assert (found.holder, found.begun_at) == ("second", NOW + HOUR)
    with pytest.raises(LedgerError, match="any more"), ledger.transaction() as connection:
        keep(connection, ASKED, 200, {}, "late", NOW)


def test_the_key_of_one_request_is_not_that_of_another(ledger: Ledger) -> None:
    _begin(ledger, ASKED)
    with pytest.raises(AnotherRequest, match="came with another request before"):
        _begin(ledger, replace(ASKED, request_hash="x" * 64))
    assert _begin(ledger, replace(ASKED, key_id="f" * 12, request_hash="x" * 64)) is None


def test_a_request_that_was_let_go_is_as_if_it_had_never_come(ledger: Ledger) -> None:
    _begin(ledger, ASKED)
    with ledger.transaction() as connection:
        let_go(connection, ASKED, NOW)
    with ledger.read() as connection:
        assert answer_of(connection, KEY.key_id, "one") is None
        assert verify(connection) == []
    assert _begin(ledger, replace(ASKED, request_hash="x" * 64)) is None


def test_a_scope_is_shown_with_a_hyphen_where_its_row_has_none() -> None:
    assert [scope.shown for scope in Scope] == ["read", "upload", "dry-run", "trade", "admin", "metrics"]
