"""How the HTTP services behave: the section `api`.

What belongs here: names, types and defaults. What does not: where they listen (options of `scizor serve`), and keys
(the ledger has them).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scizor_dagster.config.base import Model

Count = Annotated[int, Field(ge=1)]
Proxy = Annotated[str, Field(pattern=r"^[0-9a-fA-F:.]+(/[1-9][0-9]{0,2})?$")]
MIB = 1024 * 1024


class ApiRules(Model):
    """How the HTTP services behave.

    Attributes:
        docs: Whether `/docs` and `/openapi.json` are there.
        hosts: Names that a request may be addressed to (`Host`), beside those of loopback.
        trusted_proxies: Addresses or networks of proxies whose forwarded headers count; only with `--behind-proxy`.
        dagster_url: Dagster's webserver, which long work is handed to where it answers.
        requests_per_minute: Of one key.
        requests_per_minute_per_address: Of one address, whatever key it shows.
        refusals_per_minute: Keys that are none, from one address; the next is not looked at.
        max_body_bytes: Of a request.
        max_upload_bytes: Of a file that is handed in.
        body_seconds: How long a request's body may take to arrive.
        max_threads: Requests that are worked on at once.
        max_waiting: Requests beyond those that may wait.
        max_streams: Streams of events that may be open at once.
        max_backtest_cells: Sessions x instruments of a backtest, times its sets for an optimization: what its memory
            grows with (a cell takes some 150 bytes), and most of its time.
        backtest_seconds: How long a backtest or an optimization may run.
        strategy_code: Whether code is taken: `off`, or `approve`, where an operator must approve each by its hash.
    """

    docs: bool = True
    hosts: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    # No `*`: whoever asks could then say where they ask from, and be counted anew each time.
    trusted_proxies: tuple[Proxy, ...] = ("127.0.0.1", "::1")
    dagster_url: Annotated[str, Field(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")] = "http://127.0.0.1:3000"
    requests_per_minute: Count = 600
    requests_per_minute_per_address: Count = 1200
    refusals_per_minute: Count = 10
    max_body_bytes: Count = MIB
    max_upload_bytes: Count = 32 * MIB
    body_seconds: Annotated[float, Field(gt=0.0)] = 30.0
    max_threads: Count = 16
    max_waiting: Count = 128
    max_streams: Count = 32
    max_backtest_cells: Count = 20_000_000
    backtest_seconds: Annotated[float, Field(gt=0.0)] = 900.0
    strategy_code: Literal["off", "approve"] = "off"
