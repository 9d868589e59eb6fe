"""The rows of a book as columns: one stretch of memory, a column after the other.

What belongs here: where each number lies. What does not: what the numbers mean (`kernel_model.Cells`), and how machine
code finds them (`compiled_rows`).

A pass of the kernel reads a few of a row's numbers: those of neighbouring rows lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NoReturn

from scizor_dagster.planning.kernel_model import Cells, kind_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTHS: Final = {"f8": 8, "i8": 8, "i1": 1, "?": 1}
KINDS: Final = {item.name: kind_of(item) for item in fields(Cells)}
"""Kind of each column."""
LINE: Final = 8
"""Places of the widest kind in a line of the processor's cache."""


def _places() -> dict[str, int]:
    """Bytes before each column, for each place of a column: the wide ones come first, so that all are aligned."""
    found, total = {}, 0
    for name, kind in sorted(KINDS.items(), key=lambda item: -WIDTHS[item[1]]):
        found[name] = total
        total += WIDTHS[kind]
    return found


BEFORE: Final = _places()


class CellColumns:
    """Rows with the names and defaults of `Cells`, each name an array of its own.

    Attributes:
        size: Rows.
        stride: Places of a column, a few more than rows: an odd number of cache lines, so that the same place of
            all columns does not compete for the same lines.
        columns: Arrays by name; views of one stretch of memory, which begins with a cache line.
        address: Of it.
    """

    def __init__(self, size: int) -> None:
        import numpy as np

        self.size, self.stride = size, (-(-size // LINE) | 1) * LINE
        room = np.zeros(sum(WIDTHS[kind] for kind in KINDS.values()) * self.stride + 8 * LINE, dtype=np.uint8)
        whole = room[-room.ctypes.data % (8 * LINE) :]
        self.address = int(whole.ctypes.data)
        self.columns: dict[str, NDArray[Any]] = {}
        for item in fields(Cells):
            kind = KINDS[item.name]
            first = BEFORE[item.name] * self.stride
            column = whole[first : first + size * WIDTHS[kind]].view(kind)
            column[:] = item.default
            self.columns[item.name] = column

    def __reduce__(self) -> NoReturn:
        # A copy would have the address of the memory that it was copied from.
        raise TypeError("The rows of a book have an address, and cannot be copied: prepare a book in each process.")

    def __len__(self) -> int:
        return self.size

    def row(self, place: int) -> Cells:
        return Cells(*(column[place].item() for column in self.columns.values()))

    def rows(self) -> list[Cells]:
        """Copies of all rows, as objects."""
        return [Cells(*numbers) for numbers in zip(*(column.tolist() for column in self.columns.values()), strict=True)]

    def write(self, rows: Sequence[Cells]) -> None:
        """Write objects back."""
        for name, column in self.columns.items():
            column[:] = [getattr(row, name) for row in rows]
