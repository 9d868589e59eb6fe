"""`scizor serve`: the HTTP services.

What belongs here: the command. What does not: where it may listen (`api.serving`), and the services (`api`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from scizor_dagster.cli.output import emit_json
from scizor_dagster.cli.preflight import check_home, open_desk

Service = Literal["data-farmer", "backtester", "algo-trader"]


def serve(
    service: Annotated[Service | None, typer.Option(help="Serve this one apart; default: all three together.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: 8000; apart 8000, 8001 and 8002 in this order.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    behind_proxy: Annotated[
        str | None, typer.Option(help="URL by which clients know the proxy in front, which ends TLS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as JSON.")] = False,
) -> None:
    """Serve data farmer, backtester and algo trader over HTTP. Stop it with Ctrl-C: what is under way is finished.

    Every request needs a key: scizor keys create. What there is to ask is on the page /docs. A request never does more
    than a command: an order passes the same limits, and a live account must be armed. Long work runs in Dagster,
    by its webserver where that answers, else here. Other machines are let in only with a certificate, or behind a
    proxy that is named.

    When: programs, or people on other machines, are to use what there is.
    Writes: What requests write, as the commands do.
    JSON: url, services, docs.
    Exit codes: 0 it was stopped, by Ctrl-C or SIGTERM; 2 the address is taken, or open to others without TLS.
    Example: scizor serve --service data-farmer --port 8000
    """
    from scizor_dagster.api import serving

    desk = open_desk()
    chosen = port or serving.PORTS[service or "data-farmer"]
    listening = serving.Listening(host, chosen, tls_cert, tls_key, behind_proxy)
    serving.check(listening, desk.config.api)
    check_home(desk.settings)
    services = (service,) if service is not None else tuple(serving.PORTS)
    sock = serving.bound(listening)
    url = behind_proxy or listening.url
    if as_json:
        emit_json({"url": url, "services": list(services), "docs": f"{url}/docs" if desk.config.api.docs else None})
    else:
        typer.echo(f"{', '.join(services)}: {url} (Ctrl-C stops it)")
    serving.serve(desk, services, listening, sock)
