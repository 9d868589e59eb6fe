"""The rows of a book as columns: what an object says of a row, and what machine code finds there."""

import copy
import pickle
from dataclasses import astuple, fields

import numba
import numpy as np
import pytest

from scizor_dagster.planning import compiled_rows
from scizor_dagster.planning.cell_columns import BEFORE, KINDS, LINE, WIDTHS, CellColumns
from scizor_dagster.planning.kernel_model import UNIT, Cells


def turn(rows, prices):
    """Something of each kind of number, read and written."""
    for i in range(len(rows)):
        row = rows[i]
        row.price, row.held = prices[i], row.price
        row.count += row.step
        row.code = row.mark + len(prices)
        row.whole = not row.tradable


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 500, 512])
def test_columns_begin_as_rows_do_and_no_two_lie_over_each_other(size):
    cells = CellColumns(size)
    assert [repr(astuple(row)) for row in cells.rows()] == [repr(astuple(Cells()))] * size
    assert len(cells) == size <= cells.stride
    assert cells.stride // LINE % 2 == 1
    assert cells.address % (8 * LINE) == 0
    places = [
        (column.__array_interface__["data"][0] - cells.address, cells.stride * WIDTHS[KINDS[name]])
        for name, column in cells.columns.items()
    ]
    if size:
        assert [first for first, _ in places] == [BEFORE[name] * cells.stride for name in cells.columns]
    for (first, length), (after, _) in zip(sorted(places), sorted(places)[1:], strict=False):
        assert first + length <= after or not size
    assert all(first % WIDTHS[KINDS[name]] == 0 for (first, _), name in zip(places, cells.columns, strict=True))


def test_a_row_that_is_written_reads_back_in_numbers_of_python():
    cells = CellColumns(3)
    rows = [Cells(weight=i / 7, count=-i * UNIT, code=i, whole=i == 1, price=10.0 * i) for i in range(3)]
    cells.write(rows)
    assert [repr(astuple(row)) for row in cells.rows()] == [repr(astuple(row)) for row in rows]
    assert repr(astuple(cells.row(2))) == repr(astuple(rows[2]))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_rows_that_machine_code_finds_by_their_address_are_not_copied(copied):
    with pytest.raises(TypeError, match="prepare a book in each process"):
        copied(CellColumns(1))


def test_machine_code_reads_and_writes_the_numbers_that_an_object_has():
    rows = [Cells(price=1.5 * i, held=i / 3, count=i, mark=i % 3, tradable=i % 2 == 0) for i in range(11)]
    cells, prices = CellColumns(len(rows)), np.linspace(1.0, 2.0, len(rows))
    cells.write(rows)
    numba.njit(turn)(cells, prices)
    turn(rows, prices.tolist())
    assert [repr(astuple(row)) for row in cells.rows()] == [repr(astuple(row)) for row in rows]


def test_machine_code_knows_no_number_that_a_row_has_not():
    def read(rows):
        return rows[0].pries

    assert {item.name for item in fields(Cells)} == set(KINDS)
    with pytest.raises(numba.TypingError, match="Unknown attribute 'pries'"):
        numba.njit(read)(CellColumns(1))
    assert numba.typeof(CellColumns(1)) == compiled_rows.ROWS
