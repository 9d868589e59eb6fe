"""A ledger on a server: it trades as the embedded one does, and neither is begun anew beside the other."""

import shutil
from collections.abc import Callable
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from scizor_dagster.errors import DataError, InputError, LedgerError
from scizor_dagster.execution.executor import ExecutionState
from scizor_dagster.flow import restoring_on_server
from scizor_dagster.flow.backing_up import back_up
from scizor_dagster.flow.closing import reconcile_session
from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.moving import mark_of, renamed_ledgers, require_rest
from scizor_dagster.flow.restoring import restore_home
from scizor_dagster.ledger.holdings import cash_flow, owned
from scizor_dagster.ledger.rows import batch_of, intents_of
from scizor_dagster.ledger.store import Ledger
from scizor_dagster.risk.trading_state import TradingState, set_state
from scizor_dagster.settings import Settings
from tests.flow.desks import FIRST, NOW, SECOND, collect, collected, trade
from tests.postgres import Server
from tests.projects import project_at


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose prices are collected, without a ledger."""
    folder = tmp_path_factory.mktemp("prices")
    desk = collected(folder)
    desk.lake.close()
    assert not desk.has_ledger
    return folder


@pytest.fixture
def empty(postgres: Server) -> object:
    """URL of a database in which there is no ledger yet."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.drop(name)


def _desk(folder: Path, url: str | None) -> Desk:
    environment = dict(project_at(folder).environment)
    return Desk(Settings.from_environment(environment | ({"DATABASE_URL": url} if url else {})), lambda: NOW)


@pytest.fixture
def desks(prices: Path, tmp_path: Path) -> Callable[[str | None], Desk]:
    """Desks on copies of the project; each kind of store has a folder of its own."""
    made: list[Desk] = []

    def make(url: str | None) -> Desk:
        folder = tmp_path / str(len(made))
        shutil.copytree(prices, folder, ignore=shutil.ignore_patterns("home") if url else None)
        made.append(_desk(folder, url))
        return collect(made[-1]) if url else made[-1]

    return make


def _facts(desk: Desk) -> object:
    with desk.ledger.read() as connection:
        orders = []
        for session in (FIRST, SECOND):
            batch = batch_of(connection, "paper", "main", session)
            assert batch is not None
            orders += [
                (row.client_order_id, row.final_qty, row.parameter_hash, row.state, row.filled_qty)
                for row in intents_of(connection, batch.batch_id)
            ]
        return orders, owned(connection, "paper", "main"), cash_flow(connection, "paper", "main")


def test_two_sessions_traded_on_a_server_give_what_they_give_embedded(
    desks: Callable[[str | None], Desk], empty: str
) -> None:
    facts = []
    for url in (None, empty):
        desk = desks(url)
        for session in (FIRST, SECOND):
            assert trade(desk, session).state is ExecutionState.DONE
            reconcile_session(desk, "main", session)
        facts.append(_facts(desk))
        assert (desk.settings.home / "ledger.sqlite").exists() == (url is None)
        desk.ledger.close()
        desk.lake.close()
    assert facts[0] == facts[1]


def _closed(desk: Desk) -> Desk:
    desk.ledger.close()
    desk.lake.close()
    return desk


def test_an_empty_ledger_on_a_server_is_not_begun_beside_an_embedded_one_that_holds_something(
    desks: Callable[[str | None], Desk], empty: str
) -> None:
    embedded = desks(None)
    trade(embedded, FIRST)
    reconcile_session(embedded, "main", FIRST)
    folder = _closed(embedded).config.folder
    moved = _desk(folder, empty)
    with pytest.raises(LedgerError, match="is empty, and an embedded one") as caught:
        _ = moved.ledger
    assert "scizor migrate" in caught.value.remedy
    assert "restore the backup" in caught.value.remedy
    assert not Ledger.exists(empty), "the refusal creates nothing"
    moved.settings.ledger_file.unlink()
    with pytest.raises(LedgerError, match="is empty, and this home has its lake in"):
        _ = _desk(folder, empty).ledger
    assert not Ledger.exists(empty)


def test_a_home_whose_ledger_is_on_a_server_does_not_trade_with_a_file_when_the_variable_is_forgotten(
    desks: Callable[[str | None], Desk], empty: str
) -> None:
    desk = desks(empty)
    place = _closed_place(_closed(desk))
    forgotten = _desk(desk.config.folder, None)
    with pytest.raises(LedgerError, match="DATABASE_URL is not set") as caught:
        _ = forgotten.ledger
    assert place in str(caught.value)
    assert not forgotten.settings.ledger_file.exists()
    assert _desk(desk.config.folder, empty).ledger.place == place


def _closed_place(desk: Desk) -> str:
    place = desk.ledger.place
    desk.ledger.close()
    return place


def test_a_home_whose_ledger_was_restored_on_a_server_trades_with_its_file_no_more(
    desks: Callable[[str | None], Desk], empty: str
) -> None:
    embedded = desks(None)
    with embedded.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.REDUCING, reason="moving", actor="ann", now=NOW)
    made = back_up(embedded, None, now=NOW)
    folder = _closed(embedded).config.folder
    restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, only="ledger")
    with pytest.raises(LedgerError, match="DATABASE_URL is not set"):
        _ = _desk(folder, None).ledger


def test_asking_whether_there_is_a_ledger_on_a_server_creates_none(
    desks: Callable[[str | None], Desk], empty: str
) -> None:
    desk = desks(empty)
    assert not desk.has_ledger
    assert not Ledger.exists(empty)
    _closed(desk)
    assert _desk(desk.config.folder, empty).has_ledger


def test_a_lake_on_a_server_is_not_begun_beside_one_in_files(desks: Callable[[str | None], Desk], empty: str) -> None:
    folder = desks(None).config.folder
    moved = _desk(folder, empty)
    assert not moved.has_lake
    with pytest.raises(DataError, match="There is no lake yet in Postgres") as caught:
        _ = moved.lake
    assert "scizor migrate" in caught.value.remedy
    assert not moved.has_lake, "the refusal creates nothing"
    assert not moved.settings.server_note.exists()


def test_a_lake_on_a_server_is_kept_in_mind_by_the_home(desks: Callable[[str | None], Desk], empty: str) -> None:
    folder = _closed(desks(empty)).config.folder
    forgotten = _desk(folder, None)
    for ask in (lambda: forgotten.lake, lambda: forgotten.has_lake):
        with pytest.raises(LedgerError, match="DATABASE_URL is not set"):
            ask()
    assert not (forgotten.settings.lake_folder / "catalog.sqlite").exists()


def test_a_ledger_whose_sessions_the_lake_on_the_server_knows_is_not_begun_anew(
    desks: Callable[[str | None], Desk], empty: str, postgres: Server
) -> None:
    desk = desks(empty)
    trade(desk, FIRST)
    reconcile_session(desk, "main", FIRST)
    folder = _closed(desk).config.folder
    postgres.execute("DROP SCHEMA ledger CASCADE", database=empty.rpartition("/")[2])
    with pytest.raises(LedgerError, match=r"1 session\(s\) were traded with another one"):
        _ = _desk(folder, empty).ledger


def _without_prices(prices: Path, folder: Path) -> Path:
    return shutil.copytree(prices, folder, ignore=shutil.ignore_patterns("home"))


def _write(desk: Desk) -> Desk:
    with desk.ledger.transaction() as connection:
        set_state(connection, "paper", None, TradingState.REDUCING, reason="a trade", actor="ann", now=NOW)
    return desk


def test_a_home_that_has_seen_rows_on_a_server_begins_no_empty_ledger_wherever_the_variable_leads(
    prices: Path, tmp_path: Path, empty: str, postgres: Server
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    _closed(_write(_desk(folder, empty)))
    place = _closed_place(_desk(folder, empty))
    other = postgres.new_database()
    # The lake is begun at the new place; the ledger of the old one counts.
    _closed_lake(_desk(folder, postgres.url(other)))
    postgres.execute("DROP SCHEMA ledger CASCADE", database=empty.rpartition("/")[2])
    for url in (postgres.url(other), empty):
        with pytest.raises(LedgerError, match="held what was done until now") as caught:
            _ = _desk(folder, url).ledger
        assert place in str(caught.value)
        assert not Ledger.exists(url), "the refusal creates nothing"
    postgres.drop(other)


def _closed_lake(desk: Desk) -> None:
    assert desk.lake.snapshot() >= 0
    desk.lake.close()


def test_a_home_that_has_seen_no_row_on_a_server_yet_may_be_led_to_another_one(
    prices: Path, tmp_path: Path, empty: str, postgres: Server
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    first = _desk(folder, empty)
    first.settings.home.mkdir()
    assert _closed_place(first) in first.settings.server_note.read_text()
    other = postgres.new_database()
    moved = _desk(folder, postgres.url(other))
    assert moved.ledger.place in moved.settings.server_note.read_text()
    moved.ledger.close()
    postgres.drop(other)


def test_no_other_host_begins_an_empty_ledger_while_a_restore_has_renamed_the_one_that_was_there(
    prices: Path, tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring_on_server, "_store", die)
        with pytest.raises(KeyboardInterrupt):
            restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    elsewhere = _without_prices(prices, tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="an earlier one was renamed there") as caught:
        _ = _desk(elsewhere, empty).ledger
    assert "come to its end" in caught.value.remedy
    assert not Ledger.holds_anything(empty)
    restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW)
    assert _closed_place(_desk(elsewhere, empty))


def test_nothing_on_a_server_is_replaced_while_another_process_has_its_ledger_open(
    prices: Path, tmp_path: Path, empty: str
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    with pytest.raises(LedgerError, match="have the ledger open") as caught:
        restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    assert "Nothing was moved" in caught.value.remedy
    desk.ledger.close()
    assert _closed_place(_desk(folder, empty)), "no mark is left"
    restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)


def test_nothing_on_a_server_is_replaced_while_a_daemon_is_heard_of_there(
    prices: Path, tmp_path: Path, empty: str, postgres: Server
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()
    database = empty.rpartition("/")[2]
    postgres.execute("CREATE SCHEMA dagster", database=database)
    postgres.execute("CREATE TABLE dagster.daemon_heartbeats (timestamp timestamp)", database=database)
    beat = (NOW - timedelta(seconds=20)).astimezone(UTC).replace(tzinfo=None)
    postgres.execute(f"INSERT INTO dagster.daemon_heartbeats VALUES ('{beat}')", database=database)
    with pytest.raises(LedgerError, match="was heard of 20 s ago"):
        restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)


DAMAGES = {
    "of an older version": "UPDATE ledger.alembic_version SET version_num = '0001'",
    "of a newer version": "UPDATE ledger.alembic_version SET version_num = '9999'",
    "without its version": "DELETE FROM ledger.alembic_version",
    "without the table of its version": "DROP TABLE ledger.alembic_version",
    "without its leases": "DROP TABLE ledger.leases",
    "with leases of another shape": "ALTER TABLE ledger.leases DROP COLUMN holder",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_strange_ledger_on_a_server_is_replaced_by_its_backup_and_put_aside_as_it_is(
    prices: Path, tmp_path: Path, empty: str, postgres: Server, damage: str
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()
    database = empty.rpartition("/")[2]
    postgres.execute(DAMAGES[damage], database=database)
    with pytest.raises(InputError, match="There is something already"):
        restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW)
    before = _tables(postgres, database, "ledger")
    back = restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    assert back.aside is not None
    aside = back.aside.split()[1]
    assert _tables(postgres, database, aside) == before, "nothing of it was migrated"
    if damage.startswith("of a"):
        assert postgres.execute(f"SELECT version_num FROM {aside}.alembic_version", database=database) in (
            [("0001",)],
            [("9999",)],
        )
    assert _closed_place(_desk(folder, empty))


def _tables(postgres: Server, database: str, schema: str) -> list[tuple[object, ...]]:
    return postgres.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2",
        schema,
        database=database,
    )


def test_a_run_at_an_account_of_a_ledger_of_another_version_keeps_it_from_being_replaced(
    prices: Path, tmp_path: Path, empty: str, postgres: Server
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()
    database = empty.rpartition("/")[2]
    postgres.execute("UPDATE ledger.alembic_version SET version_num = '9999'", database=database)
    postgres.execute(
        "INSERT INTO ledger.leases (account, holder, token, expires_at, advisory) VALUES (%s, %s, 1, %s, false)",
        "paper",
        "host:1:run",
        NOW + timedelta(minutes=1),
        database=database,
    )
    with pytest.raises(LedgerError, match=r"A run is at account 'paper' \(host:1:run\)"):
        restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    assert not mark_of(desk.settings).exists()


def test_a_server_that_cannot_be_reached_is_no_server_without_a_run(prices: Path, tmp_path: Path) -> None:
    nowhere = "postgresql://scizor@127.0.0.1:1/nowhere"
    settings = _desk(_without_prices(prices, tmp_path / "project"), nowhere).settings
    with pytest.raises(LedgerError, match="The server cannot be asked"):
        require_rest(settings, nowhere, NOW)


def test_a_backup_of_a_newer_version_is_refused_before_the_ledger_on_the_server_is_touched(
    prices: Path, tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    with monkeypatch.context() as patch:
        patch.setattr("scizor_dagster.ledger.backup.HEAD", "9999")
        made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()
    with pytest.raises(InputError, match="written by a newer version"):
        restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    assert not mark_of(desk.settings).exists()
    assert not (desk.settings.home / ".restoring").exists()
    assert Ledger.holds_anything(empty)
    assert renamed_ledgers(empty) == []
    assert _closed_place(_desk(folder, empty))


@pytest.mark.parametrize("failure", [OSError("no room"), DataError("No room.", remedy="Make some.")])
def test_a_restore_on_a_server_that_fails_before_its_commit_brings_back_what_it_has_renamed(
    prices: Path, tmp_path: Path, empty: str, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    folder = _without_prices(prices, tmp_path / "project")
    desk = _write(_desk(folder, empty))
    made = back_up(desk, None, now=NOW, parts=("ledger",))
    desk.ledger.close()

    def fail(*_: object, **__: object) -> None:
        assert renamed_ledgers(empty), "it was renamed by then"
        Ledger.open(empty).close()
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(restoring_on_server, "_store", fail)
        with pytest.raises(DataError, match=r"[Nn]o room") as caught:
            restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
    assert "in its place again" in caught.value.remedy
    assert not mark_of(desk.settings).exists()
    assert Ledger.holds_anything(empty)
    assert renamed_ledgers(empty) == []
    assert _closed_place(_desk(folder, empty))
    restore_home(_desk(folder, empty), made.folder, actor="ann", now=NOW, replace=True)
