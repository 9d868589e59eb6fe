"""The JSON that each command states: one form, and every answer of every test of the command line is held against it.

The comparison itself is in the fixture `scizor`; here is that it notices, and that every command states something.
"""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scizor_dagster.cli.output import money, plain_json
from tests.cli.shapes import SERVES, differences, lessons, shapes_of

STATED = [path for path in lessons() if path not in SERVES]


@pytest.mark.parametrize("path", STATED, ids=" ".join)
def test_every_command_that_answers_states_the_keys_of_its_json(path: tuple[str, ...]) -> None:
    assert lessons()[path].answer
    assert all(shapes_of(path))


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        (("limits",), {"portfolio": "main", "hash": "1f", "limits": {"a": "1"}}, []),
        (("limits",), {"portfolio": "main", "limits": {}}, ["hash is missing"]),
        (("limits",), {"portfolio": "main", "hash": "1f", "limits": {}, "more": 1}, ["more is not stated"]),
        (("limits",), {"portfolio": {"name": "main"}, "hash": "1f", "limits": {}},
         ["portfolio has parts that are not stated"]),
        (("data", "show"), {"market": "us", "symbol": "A", "prices": "raw", "series": [{"session": "2026-01-02"}]},
         ["series[].event is missing", "series[].price is missing"]),
        (("doctor",), {"ok": True, "checks": [], "notes": []}, []),
        (("doctor",), {"ok": True, "checks": ["python"], "notes": []}, ["checks[]. is no object"]),
        (("backtest", "run"), {"strategy": "momentum", "findings": [{"anything": 1}]}, []),
        (("halt",), {"accounts": ["a"], "portfolio": None, "state": "halted", "by": "ann", "until": None, "note": ""},
         []),
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_noticed(path: tuple[str, ...], body: Any, found: list[str]) -> None:
    assert differences(path, body) == found


class Word(StrEnum):
    YES = "yes"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (Decimal("NaN"), None),
        (float("nan"), None),
        (float("-inf"), None),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (date(2026, 11, 20), "2026-11-20"),
        (datetime(2026, 11, 20, 14, 30, tzinfo=UTC), "2026-11-20T14:30:00+00:00"),
        (pd.Timestamp("2026-11-20"), "2026-11-20"),
        (pd.Timestamp("2026-11-20T14:30", tz="UTC"), "2026-11-20T14:30:00+00:00"),
        (pd.NaT, None),
        (Word.YES, "yes"),
        (Path("a/b"), "a/b"),
        ({date(2026, 1, 2): {1: (Word.YES,)}}, {"2026-01-02": {"1": ["yes"]}}),
        (b"x", "b'x'"),
        (None, None),
    ],
)
def test_each_kind_of_value_is_written_in_one_way(value: Any, written: Any) -> None:
    assert plain_json(value) == written
    assert json.loads(json.dumps(plain_json(value), allow_nan=False)) == written


@pytest.mark.parametrize(
    ("amount", "text"), [(100397.49167427, "100397.49167427"), (1e20, "1" + "0" * 20), (0.0, "0.0"), (None, None)]
)
def test_an_amount_that_is_kept_as_a_float_is_written_as_text_that_reads_back_the_same(
    amount: float | None, text: str | None
) -> None:
    assert money(amount) == text
    assert money(float("nan")) is None
    assert text is None or float(text) == amount
