"""A file as the body of a request, as it is.

What belongs here: which kinds may come, and handing out the bytes. What does not: reading the file (the intake, which
checks what it is by its content), and its size (`api.max_upload_bytes`).

A route declares it as `file: Annotated[bytes, Depends(Upload())]`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from scizor_dagster.api.problems import RequestRefused

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PARQUET = "application/vnd.apache.parquet"
ANY = "application/octet-stream"
TABLES = (CSV, XLSX, PARQUET, "application/json", ANY)
"""Kinds that a weight file may have."""


@dataclass(frozen=True)
class Upload:
    """The dependency that hands out the body of a route that takes a file of one of these kinds."""

    types: tuple[str, ...] = TABLES

    def __call__(self, request: Request) -> bytes:
        """The bytes.

        Raises:
            RequestRefused: there are none.
        """
        body: bytes = request.state.body
        if not body:
            raise RequestRefused("The body is empty.", remedy="Send the file as the body.", status=422)
        return body
