"""How the place of a ledger is written, and named to a person."""

import pytest

from scizor_dagster.databases import is_postgres, parse, place_of


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////home/ann/.scizor/ledger.sqlite", "/home/ann/.scizor/ledger.sqlite"),
        ("postgres://ann:hush@db.example:6432/scizor", "Postgres db.example:6432/scizor"),
        ("postgresql://ann:hush@db.example/scizor", "Postgres db.example/scizor"),
        ("postgresql:///scizor?host=/run/postgresql", "Postgres /run/postgresql/scizor"),
        ("postgresql:///scizor?host=one&host=two", "Postgres one,two/scizor"),
        ("postgresql:///scizor", "Postgres local socket/scizor"),
    ],
)
def test_a_ledger_is_named_by_its_file_or_by_its_host_and_database(url: str, place: str) -> None:
    assert place_of(parse(url)) == place


@pytest.mark.parametrize(
    ("url", "on_server"),
    [
        (" postgres://h/db\n", True),
        ("postgresql://h/db", True),
        ("postgresql+psycopg2://h/db", True),
        ("sqlite:///l.sqlite", False),
        ("postgresql+asyncpg://h/db", False),
        ("", False),
    ],
)
def test_a_postgres_database_is_known_by_its_scheme_alone(url: str, on_server: bool) -> None:
    assert is_postgres(url) is on_server
