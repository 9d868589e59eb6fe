"""Dates of the command line: ISO 8601 or a clear error."""

from __future__ import annotations

from datetime import date

from scizor_dagster.errors import InputError


def parse_date(text: str, option: str) -> date:
    """Read `YYYY-MM-DD`.

    Raises:
        InputError: anything else.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"'{text}' is not a date.", remedy="Write it as YYYY-MM-DD.", where=option) from error
