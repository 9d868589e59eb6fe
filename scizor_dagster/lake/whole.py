"""Reading a small table whole.

What belongs here: the one spelling of that. What does not: tables whose files are worth passing over (`bars`).

DuckLake asks its catalog once more for each column that a condition names, to pass over files whose statistics
exclude it. That costs more than reading a table of a few thousand rows, and grows with the files of the whole lake.
"""

from __future__ import annotations

_MORE_THAN_ANY = 1_000_000_000


def whole(table: str, alias: str = "") -> str:
    """`table`, for a FROM clause: conditions on it are looked at after it has been read."""
    return f"(FROM {table} LIMIT {_MORE_THAN_ANY}) AS {alias or table}"
