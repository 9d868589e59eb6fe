"""Many processes at once: no error, no lost row, nothing half-written to be seen."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from scizor_dagster.lake.connection import Lake
from scizor_dagster.lake.location import LakeLocation
from scizor_dagster.lake.tables import TABLES, initialise
from tests.lake.writers import COMMITS, open_and_initialise, read_until_complete, write_rows

WRITERS = 6


def test_six_writers_of_twenty_commits_each_lose_nothing_while_one_reads(location: LakeLocation):
    lake = Lake(location)
    initialise(lake)
    before = lake.snapshot()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(WRITERS + 1, mp_context=context) as pool:
        barrier, stop = manager.Barrier(WRITERS + 1), manager.Event()
        reader = pool.submit(read_until_complete, location, 2 * WRITERS * COMMITS, barrier, stop)
        writers = [pool.submit(write_rows, location, writer, barrier) for writer in range(WRITERS)]
        try:
            assert [writer.result(timeout=250) for writer in writers] == [COMMITS] * WRITERS
        except BaseException:
            # Else it would count for ever, and this block wait for it.
            stop.set()
            raise
        seen = reader.result(timeout=120)
    assert seen == sorted(seen)
    assert len(set(seen)) > 2
    assert all(count % 2 == 0 for count in seen), "a commit was seen by half"
    query = "SELECT base, quote, count(DISTINCT rate), count(*) FROM fx_rates GROUP BY ALL ORDER BY ALL"
    with lake.read() as cursor:
        rows = cursor.execute(query).fetchall()
    expected = [(f"W{writer}", half, COMMITS, COMMITS) for writer in range(WRITERS) for half in ("left", "right")]
    assert rows == expected
    assert lake.snapshot() == before + WRITERS * COMMITS
    lake.close()


def test_four_processes_may_create_the_same_lake_at_once(location: LakeLocation):
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(4, mp_context=context) as pool:
        barrier = manager.Barrier(4)
        results = [pool.submit(open_and_initialise, location, barrier) for _ in range(4)]
        assert [result.result(timeout=120) for result in results] == [len(TABLES)] * 4
