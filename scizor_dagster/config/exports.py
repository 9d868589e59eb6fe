"""Whether the files of each session are written, and where: the section `exports`.

What belongs here: names, types and defaults. What does not: the files (`exports`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model


class ExportRules(Model):
    """Whether the files of each session are written, and where.

    Attributes:
        folder: Where they go, each session's to `<folder>/<portfolio>/<date>`; a relative one begins at the
            configuration's folder. None writes nothing.
        formats: Of the tables.
    """

    folder: Annotated[str, Field(min_length=1)] | None = None
    formats: Annotated[tuple[Literal["csv", "parquet"], ...], Field(min_length=1)] = ("csv",)
