"""Dagster's instance, opened by several at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from scizor_dagster.cli.instance import opened_instance, prepare_home
from tests.projects import small_project

OPENERS = 6


def test_those_who_open_an_empty_home_at_once_all_get_the_instance(tmp_path: Path) -> None:
    settings = small_project(tmp_path).settings
    together = Barrier(OPENERS)

    def use(_: int) -> int:
        together.wait()
        prepare_home(settings)
        with opened_instance(settings) as instance:
            return instance.get_runs_count()

    with ThreadPoolExecutor(OPENERS) as pool:
        assert list(pool.map(use, range(OPENERS))) == [0] * OPENERS
