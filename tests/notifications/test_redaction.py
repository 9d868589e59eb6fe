"""Secrets are blotted out of whatever leaves, and words are not."""

from scizor_dagster.notifications.redaction import Redaction, filled_in, referenced

ADDRESSES = [
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "mailtos://ann:correcthorse@smtp.example.org?to=ann@example.org",
    "postgresql://scizor:swordfish@db/ledger",
    "ntfy://portfolio",
    "json://[broken",
    "",
]


def test_keys_tokens_and_passwords_are_blotted_out_wherever_they_stand() -> None:
    redaction = Redaction(["PKSECRET", "abc"], ADDRESSES)
    for secret in ("PKSECRET", "TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L2", "correcthorse", "swordfish", ADDRESSES[0]):
        assert redaction(f"It said {secret}: no.") == "It said ***: no."


def test_words_and_short_values_stay() -> None:
    said = "abc: portfolio main at smtp.org is halted by ann, ledger general 9000"
    assert Redaction(["abc", ""], ADDRESSES)(said) == said


def test_the_login_of_any_address_is_blotted_out() -> None:
    assert Redaction()("see https://ann:pw@host/x and ftp://bob@h") == "see https://***@host/x and ftp://***@h"


def test_a_key_of_the_services_is_blotted_out_but_for_its_name() -> None:
    key = f"scz_0a1b2c3d4e5f_{'9f' * 32}"
    assert Redaction()(f"/api/data/{key}.csv") == "/api/data/scz_0a1b2c3d4e5f_***.csv"
    assert Redaction()("scz_0a1b2c3d4e5f was revoked") == "scz_0a1b2c3d4e5f was revoked"


def test_variables_are_filled_in_and_one_that_is_unset_stays_a_name() -> None:
    text = "mailto://${USER_1}:${PW}@h"
    assert referenced(text) == ["USER_1", "PW"]
    assert filled_in(text, {"USER_1": "ann", "PW": ""}) == "mailto://ann:${PW}@h"
