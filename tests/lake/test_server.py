"""A lake whose catalog is on a server: its secrets, its one folder, and a write whose server goes away."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scizor_dagster.errors import ConfigError, DataError
from scizor_dagster.lake import connection
from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.data_folder import MARK
from scizor_dagster.lake.location import LakeLocation, lake_exists, lake_location
from scizor_dagster.lake.maintenance import maintain
from scizor_dagster.lake.tables import initialise
from scizor_dagster.settings import Settings
from tests.postgres import Server

SECRET = "hush'hush"
ESCAPED = SECRET.replace("'", "%27")


@pytest.fixture
def database(postgres: Server) -> Iterator[str]:
    name = postgres.new_database()
    yield name
    postgres.drop(name)


@pytest.fixture
def url(postgres: Server, database: str) -> str:
    return postgres.url(database).replace("scizor@", f"scizor:{ESCAPED}@")


@pytest.fixture
def lake(url: str, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(LakeLocation.on_server(url, str(tmp_path / "data")))
    with made.write() as cursor:
        cursor.execute("CREATE TABLE t (a INTEGER, noted TIMESTAMPTZ)")
    yield made
    made.close()


def cut(postgres: Server, database: str, application: str) -> int:
    """End every session of that name in the database; how many there were."""
    ended = postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
        database,
        application,
    )
    return len(ended)


def rows(lake: Lake) -> list[int]:
    with lake.read() as cursor:
        return [int(number) for (number,) in cursor.execute("SELECT a FROM t ORDER BY a").fetchall()]


def insert(lake: Lake, number: int) -> None:
    with lake.write() as cursor:
        cursor.execute("INSERT INTO t VALUES (?, ?)", [number, datetime(2024, 1, 2, tzinfo=UTC)])


def test_the_password_stands_in_no_catalog_string_no_place_and_no_repr(url: str, tmp_path: Path) -> None:
    location = LakeLocation.on_server(url, str(tmp_path))
    assert location.connection["password"] == SECRET
    for shown in (location.catalog, location.place, repr(location)):
        assert SECRET not in shown
        assert ESCAPED not in shown
    assert pickle.loads(pickle.dumps(location)) == location


def test_a_password_of_a_tls_key_that_could_not_be_kept_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="password of a TLS key") as caught:
        LakeLocation.on_server("postgresql://me@h/db?sslpassword=hush", str(tmp_path))
    assert "hush" not in str(caught.value)


def test_asking_for_a_lake_makes_none(url: str, tmp_path: Path) -> None:
    location = LakeLocation.on_server(url, str(tmp_path / "data"))
    assert not lake_exists(location)
    assert not (tmp_path / "data").exists()
    Lake(location).snapshot()
    assert lake_exists(location)


def test_a_server_that_is_not_there_is_an_error_that_names_it_and_not_the_password(tmp_path: Path) -> None:
    location = LakeLocation.on_server(f"postgresql://me:{ESCAPED}@127.0.0.1:1/db", str(tmp_path))
    for ask in (lambda: lake_exists(location), lambda: Lake(location).snapshot()):
        with pytest.raises(DataError, match="cannot be asked") as caught:
            ask()
        assert caught.value.where == "Postgres 127.0.0.1:1/db, schema lake"
        assert SECRET not in str(caught.value)


def test_a_connection_that_is_lost_in_a_write_leaves_nothing_and_the_next_write_goes_on(
    lake: Lake, postgres: Server, database: str
) -> None:
    def lose() -> None:
        with lake.write() as cursor:
            cursor.execute("INSERT INTO t VALUES (1, NULL)")
            assert cut(postgres, database, "scizor lake")
            cursor.execute("SELECT count(*) FROM t")

    with pytest.raises(DataError, match="lost in the middle") as caught:
        lose()
    assert "Nothing of this was stored" in caught.value.remedy
    assert rows(lake) == []
    insert(lake, 2)
    assert rows(lake) == [2]


def test_a_connection_that_is_lost_before_the_commit_is_answered_is_said_to_be_in_doubt(
    lake: Lake, postgres: Server, database: str
) -> None:
    def lose() -> None:
        with lake.write() as cursor:
            cursor.execute("INSERT INTO t VALUES (1, NULL)")
            assert cut(postgres, database, "scizor lake")

    with pytest.raises(DataError, match="told to store") as caught:
        lose()
    assert "run again" in caught.value.remedy
    insert(lake, 2)
    assert rows(lake) == [2]


def test_who_has_lost_the_turn_to_write_stores_nothing(lake: Lake, postgres: Server, database: str) -> None:
    def lose() -> None:
        with lake.write() as cursor:
            cursor.execute("INSERT INTO t VALUES (1, NULL)")
            assert cut(postgres, database, "scizor lake writer")

    with pytest.raises(DataError, match="lost in the middle"):
        lose()
    assert rows(lake) == []
    insert(lake, 2)
    assert rows(lake) == [2]


def test_a_restart_of_the_server_between_two_uses_is_not_noticed(lake: Lake, postgres: Server, database: str) -> None:
    insert(lake, 1)
    assert cut(postgres, database, "scizor lake")
    assert cut(postgres, database, "scizor lake writer")
    assert rows(lake) == [1]
    insert(lake, 2)
    assert rows(lake) == [1, 2]


def test_readers_do_not_wait_for_a_writer(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_TIMEOUT_SECONDS", 0.05)
    other = Lake(lake.location)
    with lake.write() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, NULL)")
        assert rows(other) == []
        with other.at(other.snapshot()) as then:
            assert rows(then) == []
    assert rows(other) == [1]
    other.close()


def test_a_forked_child_writes_by_itself_and_leaves_its_parents_sessions_alone(lake: Lake) -> None:
    insert(lake, 1)
    child = os.fork()
    if child == 0:
        try:
            insert(lake, 2)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    insert(lake, 3)
    assert rows(lake) == [1, 2, 3]


def test_a_host_that_looks_for_the_data_elsewhere_is_told_where_it_is(lake: Lake, url: str, tmp_path: Path) -> None:
    other = Lake(LakeLocation.on_server(url, str(tmp_path / "other")))
    with pytest.raises(DataError, match=f"has its data in {tmp_path}/data") as caught:
        other.snapshot()
    assert "SCIZOR_LAKE_DATA" in caught.value.remedy


def test_a_host_with_another_folder_of_the_same_name_is_refused(lake: Lake, tmp_path: Path) -> None:
    insert(lake, 1)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    other = Lake(lake.location)
    with pytest.raises(DataError, match="not the one of this host"):
        other.snapshot()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / MARK).write_text("of another lake\n")
    with pytest.raises(DataError, match="not the one of this host"):
        other.snapshot()
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    assert rows(other) == [1]
    other.close()


def test_a_folder_that_cannot_be_made_is_named(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be made or written") as caught:
        Lake(LakeLocation.on_server(url, str(tmp_path / "file" / "data"))).snapshot()
    assert caught.value.where == str(tmp_path / "file" / "data")


def test_a_database_of_another_time_zone_gives_the_same_instants(postgres: Server, database: str, lake: Lake) -> None:
    postgres.execute(f"ALTER DATABASE {database} SET timezone = 'Australia/Sydney'")
    other = Lake(lake.location)
    before = datetime.now(UTC)
    insert(other, 1)
    with other.read() as cursor:
        found = cursor.execute("SELECT noted FROM t").fetchone()
        row = cursor.execute("SELECT max(snapshot_time) FROM lake.snapshots()").fetchone()
    assert found == (datetime(2024, 1, 2, tzinfo=UTC),)
    assert row is not None
    assert before <= row[0] <= datetime.now(UTC)
    with other.at(datetime.now(UTC)) as then:
        assert rows(then) == [1]
    other.close()


def test_a_user_who_may_not_make_the_schema_is_told_so(postgres: Server, database: str, tmp_path: Path) -> None:
    postgres.execute("CREATE ROLE guest LOGIN")
    try:
        location = LakeLocation.on_server(postgres.url(database).replace("scizor@", "guest@"), str(tmp_path / "data"))
        with pytest.raises(DataError, match="permission denied"):
            Lake(location).snapshot()
    finally:
        postgres.execute("DROP ROLE guest")


def test_a_user_who_owns_the_schema_needs_no_further_right_and_clean_up_leaves_the_folders_mark(
    postgres: Server, database: str, tmp_path: Path
) -> None:
    postgres.execute("CREATE ROLE owner LOGIN")
    postgres.execute("CREATE SCHEMA lake AUTHORIZATION owner", database=database)
    lake = Lake(LakeLocation.on_server(postgres.url(database).replace("scizor@", "owner@"), str(tmp_path / "data")))
    try:
        with lake.write() as cursor:
            cursor.execute("CREATE TABLE t AS SELECT range AS a FROM range(1000)")
        (tmp_path / "data" / "unknown.parquet").write_text("of nobody")
        later = datetime.now(UTC) + timedelta(days=2)
        assert maintain(lake, later, keep_after=later, needed=(), grace=timedelta(0)).deleted == 1
        assert (tmp_path / "data" / MARK).exists()
        assert len(rows(lake)) == 1000
    finally:
        lake.close()
        postgres.drop(database)
        postgres.execute("DROP ROLE owner")


class TestSettings:
    def location(self, **changes: str) -> LakeLocation:
        environment = {"SCIZOR_HOME": "/nowhere", "DATABASE_URL": "postgres://me@h/db", **changes}
        return lake_location(Settings.from_environment(environment))

    def test_the_data_lies_in_the_home_or_where_the_variable_says(self) -> None:
        assert self.location().data_path == "/nowhere/lake/data"
        assert self.location(SCIZOR_LAKE_DATA="/mnt/lake").data_path == "/mnt/lake"

    def test_an_object_store_needs_its_keys_and_shows_none(self) -> None:
        with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is not set"):
            self.location(SCIZOR_LAKE_DATA="s3://bucket/lake")
        found = self.location(SCIZOR_LAKE_DATA="s3://bucket/lake", AWS_ACCESS_KEY_ID="k1", AWS_SECRET_ACCESS_KEY="s1")
        assert found.data_path == "s3://bucket/lake"
        assert "s1" not in repr(found) + found.catalog

    @pytest.mark.parametrize("wrong", ["gs://bucket/lake", "s3://", " ", "lake", "./lake"])
    def test_a_place_that_is_not_known_is_refused(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match="SCIZOR_LAKE_DATA"):
            self.location(SCIZOR_LAKE_DATA=wrong)

    def test_without_a_server_the_lake_is_files_of_the_home(self) -> None:
        settings = Settings.from_environment({"SCIZOR_HOME": "/nowhere"})
        assert lake_location(settings) == LakeLocation.embedded(Path("/nowhere/lake"))


def test_a_lake_in_an_object_store_is_written_and_read(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "hush-key", "AWS_SECRET_ACCESS_KEY": "hush-secret"}
        endpoint = f"http://{host}:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="hush-key",
            aws_secret_access_key="hush-secret",
        )
        client.create_bucket(Bucket="lakes")
        place = "s3://lakes/one"
        lake = Lake(LakeLocation.on_server(url, place, {**keys, "AWS_ENDPOINT_URL": endpoint}))
        initialise(lake)
        with lake.write() as cursor:
            cursor.execute(
                "INSERT INTO fx_rates SELECT 'A', 'B', DATE '2024-01-02', range, 'test', now() FROM range(1000)"
            )
        again = Lake(lake.location)
        with again.read() as cursor:
            assert cursor.execute("SELECT count(*), sum(rate) FROM fx_rates").fetchone() == (1000, 499500.0)
        stored = client.list_objects_v2(Bucket="lakes", Prefix="one/")["Contents"]
        assert any(item["Key"].endswith(".parquet") for item in stored)
        lake.close()
        again.close()
        gone = Lake(LakeLocation.on_server(url, place, {**keys, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}))
        with gone.read() as cursor, pytest.raises(Exception, match=r"127\.0\.0\.1") as caught:
            cursor.execute("SELECT sum(rate) FROM fx_rates").fetchone()
        assert "hush" not in str(caught.value)
        gone.close()
    finally:
        server.stop()
