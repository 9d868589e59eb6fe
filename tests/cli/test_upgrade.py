"""`scizor upgrade`: every store that is chosen is brought to this version, on files and on a server."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from scizor_dagster.cli.instance import prepare_home
from scizor_dagster.databases import parse
from scizor_dagster.flow.desk import Desk
from scizor_dagster.ledger.store import Ledger, migration_config
from scizor_dagster.settings import Settings
from tests.cli.conftest import Scizor
from tests.ledgers import STORES
from tests.postgres import Server
from tests.projects import Project

PASSWORD = "hush-hush"
OLD_REVISION = "f495c27d5019"
"""One before the newest of Dagster's."""


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, fresh: Project) -> Settings:
    """A project on each kind of store, none of which is there yet."""
    found: Settings = fresh.settings if request.param == "sqlite" else request.getfixturevalue("on_server")
    return found


@pytest.fixture
def on_server(postgres: Server, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    name = postgres.new_database()
    url = postgres.url(name).replace("scizor@", f"scizor:{PASSWORD}@")
    monkeypatch.setenv("DATABASE_URL", url)
    yield Settings.from_environment({**fresh.environment, "DATABASE_URL": url})
    postgres.drop(name)


def make_stores(settings: Settings) -> None:
    from scizor_dagster.cli import dates

    desk = Desk(settings, dates.now)
    desk.lake.close()
    desk.ledger.close()
    prepare_home(settings)


def age_stores(settings: Settings) -> None:
    """Make each store one of an earlier version."""
    from alembic import command

    from scizor_dagster.cli import dates

    ledger = Ledger.open(settings.ledger_url)
    with ledger.transaction() as connection:
        config = migration_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0006")
    ledger.close()
    desk = Desk(settings, dates.now)
    with desk.lake.write() as cursor:
        cursor.execute("ALTER TABLE symbols DROP COLUMN sector")
        cursor.execute("DROP TABLE backtest_months")
    desk.lake.close()


def found(answer: object) -> dict[str, tuple[str, bool]]:
    return {item["store"]: (item["was"], item["due"]) for item in answer["stores"]}  # type: ignore[index]


def test_what_is_not_there_is_not_made(scizor: Scizor, settings: Settings) -> None:
    answer = scizor("upgrade", "--json")
    assert answer.code == 0
    assert found(answer.json) == dict.fromkeys(("ledger", "lake", "dagster"), ("none yet", False))
    assert not Ledger.exists(settings.ledger_url)
    assert not (settings.home / "lake").exists()


def test_older_stores_are_named_then_upgraded_and_then_of_this_version(scizor: Scizor, settings: Settings) -> None:
    make_stores(settings)
    age_stores(settings)
    checked = scizor("upgrade", "--check", "--json")
    assert checked.code == 1
    assert checked.json["due"]
    assert found(checked.json) == {
        "ledger": ("schema 0006", True),
        "lake": ("2 table(s) of another version: symbols, backtest_months", True),
        "dagster": ("this version", False),
    }
    assert Ledger.version(settings.ledger_url) == "0006", "a look changes nothing"
    if settings.on_server:
        refused = scizor("halt", "--account", "paper", "--reason", "a look", "--by", "ann")
        assert refused.code != 0
        assert "scizor upgrade" in refused.sentence
    done = scizor("upgrade")
    assert done.code == 0
    assert "upgraded to this version" in " ".join(done.out.split())
    again = scizor("upgrade", "--check", "--json")
    assert (again.code, again.json["due"]) == (0, False)
    assert found(again.json) == dict.fromkeys(("ledger", "lake", "dagster"), ("this version", False))
    assert PASSWORD not in checked.out + checked.err + done.out + done.err + again.out


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(scizor: Scizor, settings: Settings) -> None:
    make_stores(settings)
    ledger = Ledger.open(settings.ledger_url)
    with ledger.transaction() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    ledger.close()
    for words in (["upgrade"], ["upgrade", "--check"]):
        answer = scizor(*words)
        assert answer.code == 1
        assert "does not know" in answer.sentence
    assert Ledger.version(settings.ledger_url) == "9999"


def test_dagsters_storage_of_an_earlier_version_is_upgraded_on_a_server(scizor: Scizor, on_server: Settings) -> None:
    make_stores(on_server)
    engine = sa.create_engine(parse(on_server.database_url), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        newest = connection.execute(sa.text("SELECT version_num FROM dagster.alembic_version")).scalar_one()
        connection.execute(sa.text("UPDATE dagster.alembic_version SET version_num = :old"), {"old": OLD_REVISION})
    checked = scizor("upgrade", "--check", "--json")
    assert checked.code == 1
    assert found(checked.json)["dagster"] == (f"schema {OLD_REVISION}", True)
    assert scizor("upgrade").code == 0
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM dagster.alembic_version")).scalar_one() == newest
        connection.execute(sa.text("UPDATE dagster.alembic_version SET version_num = 'ffffffffffff'"))
    refused = scizor("upgrade")
    assert refused.code == 1
    engine.dispose()
