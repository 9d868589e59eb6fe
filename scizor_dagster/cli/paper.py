"""`scizor paper`: the paper exchange at its doors, for any client of Alpaca or of a TWS.

What belongs here: options, what a user must paste, and the life of the process. What does not: the market
and its accounts (`flow.exchange`), the doors (`paper_exchange`).
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from scizor_dagster.cli import dates
from scizor_dagster.cli.amounts import parse_amount
from scizor_dagster.cli.options import JsonOption, MarketOption
from scizor_dagster.cli.output import emit_json, print_table
from scizor_dagster.cli.preflight import check_home, check_market, open_desk
from scizor_dagster.errors import ConfigError, InputError, ScizorError

if TYPE_CHECKING:
    from scizor_dagster.flow.desk import Desk
    from scizor_dagster.flow.exchange import Exchange, Period, Wanted
    from scizor_dagster.paper_exchange.faults import FaultScript

ALPACA_PORT, TWS_PORT = 8090, 7497
KEY_VARIABLES = ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")
DEFAULT_SPEED = 60.0

app = typer.Typer(help="Serve the paper exchange to any Alpaca or TWS client.", no_args_is_help=True)


@dataclass(frozen=True)
class Keys:
    """The pair that opens the Alpaca account; `made` where it was made for this run, and may be shown."""

    key: str
    secret: str = field(repr=False)
    made: bool


@dataclass(frozen=True)
class Ports:
    """Where the doors are opened; None stays shut, 0 is any port that is free."""

    host: str
    alpaca: int | None
    tws: int | None


@app.command()
def serve(
    alpaca_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Speak as Alpaca here; 0: any.")] = None,
    tws_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Speak as a TWS here; 0: any.")] = None,
    replay: Annotated[str | None, typer.Option(help="Days to replay, FIRST..LAST; default: real time.")] = None,
    speed: Annotated[float | None, typer.Option(help="Seconds of the replay in one; default 60.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Script of what goes wrong (docs/paper-exchange.md).")] = None,
    market: MarketOption = "us",
    cash: Annotated[str | None, typer.Option(help="Deposit of each account; default 100000.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the books; another one begins anew.")] = None,
    alpaca_key: Annotated[str | None, typer.Option(envvar=KEY_VARIABLES[0], help="Key id; default: made.")] = None,
    alpaca_secret: Annotated[str | None, typer.Option(envvar=KEY_VARIABLES[1], help="Its secret.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[bool, typer.Option(help="Listen also where other machines can reach it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as JSON.")] = False,
) -> None:
    """Serve the lake's market as Alpaca and as a TWS, in real time or replaying the past. Stop it with Ctrl-C.

    Unmodified clients (alpaca-py, ib_insync, ib_async) trade on it; what to paste into them is printed. Opens both
    doors (8090 and 7497) unless one is named. Accounts are kept in the ledger's database: the same command again goes
    on where they stand. Needs collected prices; scizor demo makes some.

    When: another program, or Scizor's own adapters, shall trade without money.
    Writes: The accounts of the exchange in the ledger's database; it serves until you stop it.
    Exit codes: 0 it was stopped, or the replay came to its end; 1 it broke down; 2 an option, a port or a fault script
    is wrong.
    JSON: market, now, end, accounts{*}, missing, alpaca_url?, alpaca_stream_url?, alpaca_prices_url?,
    alpaca_account_id?, alpaca_key?, alpaca_secret?, tws_host?, tws_port?.
    Example: scizor paper serve --replay 2024-03-01..2024-03-29 --speed 60
    """
    from scizor_dagster.flow.exchange import Wanted
    from scizor_dagster.paper_exchange.faults import FaultScript
    from scizor_dagster.paper_exchange.venue_orders import House

    both = alpaca_port is None and tws_port is None
    ports = Ports(host, ALPACA_PORT if both else alpaca_port, TWS_PORT if both else tws_port)
    keys = _keys(alpaca_key, alpaca_secret)
    script = FaultScript.read(faults, os.environ) if faults is not None else None
    houses = tuple(house for house, port in ((House.ALPACA, ports.alpaca), (House.IBKR, ports.tws)) if port is not None)
    deposit = None if cash is None else parse_amount(cash, "--cash", example="100000")
    wanted = Wanted(market, houses, deposit, _period(replay, speed), name)
    desk = open_desk()
    check_home(desk.settings)
    check_market(desk, market)
    _check_address(ports, allow_remote=allow_remote)
    _serve(desk, wanted, ports, keys, script, as_json=as_json)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """List the accounts of the paper exchange's doors: cash, clock, positions and open orders.

    Reads what is stored; a venue that is being served has stored it up to the last request.

    When: you want to know where the accounts at its doors stand.
    Writes: Nothing.
    Exit codes: 0 listed, also where there is none.
    JSON: accounts[name, house, currency, deposit, cash, at, open_orders, positions].
    Example: scizor paper status
    """
    from scizor_dagster.paper_exchange.venue_store import VenueStore

    desk = open_desk()
    found = VenueStore(desk.ledger).standings() if desk.has_ledger else []
    if as_json:
        emit_json({"accounts": [asdict(row) for row in found]})
        return
    columns = ["account", "house", "cash", "clock (UTC)", "positions", "open orders"]
    rows = [
        (row.name, row.house, f"{row.cash:,.2f} {row.currency}", f"{row.at:%F %T}", row.positions, row.open_orders)
        for row in found
    ]
    print_table("Accounts at the doors of the paper exchange", columns, rows)


def _serve(desk: Desk, wanted: Wanted, ports: Ports, keys: Keys, script: FaultScript | None, *, as_json: bool) -> None:
    from scizor_dagster.flow.exchange import open_exchange
    from scizor_dagster.paper_exchange.alpaca_door.server import serve_alpaca
    from scizor_dagster.paper_exchange.driver import Driver
    from scizor_dagster.paper_exchange.tws_door.server import serve_tws
    from scizor_dagster.paper_exchange.tws_door.switches import Switches
    from scizor_dagster.paper_exchange.venue_orders import House

    exchange = open_exchange(desk, wanted)
    stop = Event()
    urls: dict[str, str | int] = {}
    with ExitStack() as doors, _ended_by_signals(stop):
        if ports.alpaca is not None:
            pairs = {keys.key: (keys.secret, exchange.accounts[House.ALPACA])}
            door = serve_alpaca(exchange.venue, pairs, host=ports.host, port=ports.alpaca, faults=script)
            urls |= {"alpaca_url": doors.enter_context(door).url, "alpaca_stream_url": door.stream_url}
            urls["alpaca_prices_url"] = door.prices_url
        if ports.tws is not None:
            own = [exchange.accounts[House.IBKR]]
            shown = Switches(market_data="live")
            tws = serve_tws(exchange.venue, own, host=ports.host, port=ports.tws, faults=script, switches=shown)
            urls |= {"tws_host": ports.host, "tws_port": doors.enter_context(tws).port}
        driver = doors.enter_context(Driver(exchange.venue, exchange.speed, stop.set))
        if as_json:
            _emit(exchange, wanted, keys, urls)
        else:
            _say(exchange, wanted, keys, urls)
        stop.wait()
    if driver.failure is not None:
        raise ScizorError(
            f"The paper exchange has stopped: {type(driver.failure).__name__}: {driver.failure}",
            remedy="Its books are as they were; mend the cause and start it again.",
        ) from driver.failure
    if not as_json:
        typer.echo(f"Stopped at {exchange.venue.now():%Y-%m-%d %H:%M:%S} UTC. The books are kept.")


def _emit(exchange: Exchange, wanted: Wanted, keys: Keys, urls: dict[str, str | int]) -> None:
    accounts = {house.value: account for house, account in exchange.accounts.items()}
    shown = {"alpaca_key": keys.key} | ({"alpaca_secret": keys.secret} if keys.made else {})
    emit_json(
        {"market": wanted.market, "now": exchange.venue.now(), "end": exchange.end, "accounts": accounts}
        | urls
        | ({"alpaca_account_id": _number(exchange)} if "alpaca_url" in urls else {})
        | (shown if "alpaca_url" in urls else {})
        | {"missing": exchange.missing}
    )


def _say(exchange: Exchange, wanted: Wanted, keys: Keys, urls: dict[str, str | int]) -> None:
    from scizor_dagster.paper_exchange.venue_orders import House

    venue = exchange.venue
    now = venue.now().astimezone(venue.calendar.timezone)
    period = wanted.period
    how = "in real time" if period is None else f"replaying {period.first} to {period.last} at {period.speed:g} x"
    typer.echo(
        f"The paper exchange serves market '{wanted.market}', {how}. At the exchange it is {now:%Y-%m-%d %H:%M}."
    )
    if exchange.end is not None and venue.now() >= exchange.end:
        typer.echo("This replay has come to its end: its clock stands. Begin it anew with --name NEW_NAME.")
    if exchange.missing:
        shown = ", ".join(map(str, exchange.missing[:5])) + (", ..." if len(exchange.missing) > 5 else "")
        typer.echo(f"note: nothing trades in {len(exchange.missing)} session(s) without bars: {shown}")
    if "alpaca_url" in urls:
        _say_alpaca(exchange.accounts[House.ALPACA], _number(exchange), keys, urls)
    if "tws_port" in urls:
        typer.echo(f"\nAs a TWS: host {urls['tws_host']}, port {urls['tws_port']}, any client id")
        typer.echo(f"  account {exchange.accounts[House.IBKR]}")
        typer.echo(f'  IB().connect("{urls["tws_host"]}", {urls["tws_port"]}, clientId=1)')
    typer.echo("\nCtrl-C stops it.")


def _number(exchange: Exchange) -> str:
    """What the Alpaca door calls its account, and a configuration pins."""
    from scizor_dagster.paper_exchange.alpaca_door.render_account import account_number
    from scizor_dagster.paper_exchange.venue_orders import House

    return account_number(exchange.venue.account(exchange.accounts[House.ALPACA]))


def _say_alpaca(account: str, number: str, keys: Keys, urls: dict[str, str | int]) -> None:
    url, stream = urls["alpaca_url"], urls["alpaca_stream_url"]
    typer.echo(f"\nAs Alpaca: {url} (account '{account}', number {number})")
    typer.echo(f"  export {KEY_VARIABLES[0]}={keys.key}")
    if keys.made:
        typer.echo(f"  export {KEY_VARIABLES[1]}={keys.secret}")
        typer.echo("  Both were made for this run; set them here too, and the next one takes them again.")
    typer.echo(f'  TradingClient(key, secret, url_override="{url}")')
    typer.echo(f'  StockHistoricalDataClient(key, secret, url_override="{url}")')
    typer.echo(f'  TradingStream(key, secret, url_override="{stream}")')
    typer.echo(f'  StockDataStream(key, secret, url_override="{urls["alpaca_prices_url"]}")')


@contextmanager
def _ended_by_signals(stop: Event) -> Iterator[None]:
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keys(key: str | None, secret: str | None) -> Keys:
    from scizor_dagster.paper_exchange.alpaca_door.door import LIVE_KEY_PREFIX

    if not key and not secret:
        return Keys(f"PK{secrets.token_hex(9).upper()}", secrets.token_urlsafe(30), made=True)
    where = f"--alpaca-key ({KEY_VARIABLES[0]})"
    if not key or not secret:
        missing, given = KEY_VARIABLES if not key else KEY_VARIABLES[::-1]
        raise ConfigError(f"{given} is given and {missing} is not.", remedy="Give both, or none.", where=where)
    if key.startswith(LIVE_KEY_PREFIX):
        raise ConfigError(
            "This is the key of a live account.",
            remedy="Use the pair of a paper account, or none: a pair is made then.",
            where=where,
        )
    return Keys(key, secret, made=False)


def _period(text: str | None, speed: float | None) -> Period | None:
    from scizor_dagster.flow.exchange import Period

    if text is None:
        if speed is not None:
            raise InputError("Real time has no speed.", remedy="Leave --speed out, or name --replay.", where="--speed")
        return None
    chosen = DEFAULT_SPEED if speed is None else speed
    if not 0 < chosen <= 1e6:
        raise InputError(f"A replay at speed {chosen:g} does not move.", remedy="Use 0.1 to 1e6.", where="--speed")
    begin, _, end = text.partition("..")
    first, last = dates.parse_date(begin, "--replay"), dates.parse_date(end or begin, "--replay")
    if last < first:
        raise InputError(f"The replay {text} ends before it begins.", remedy="Turn it round.", where="--replay")
    return Period(first, last, chosen)


def _check_address(ports: Ports, *, allow_remote: bool) -> None:
    """Refuse a host that others reach unless asked for, and a port that is taken, before anything is written."""
    if not _is_loopback(ports.host):
        if not allow_remote:
            raise InputError(
                f"Other machines can reach {ports.host}, and a TWS asks for no password.",
                remedy="Leave --host out to listen on this machine alone, or add --allow-remote.",
                where="--host",
            )
        typer.secho(
            f"warning: whoever reaches {ports.host} can trade on these paper accounts.",
            err=True,
            fg=typer.colors.YELLOW,
        )
    for option, port in (("--alpaca-port", ports.alpaca), ("--tws-port", ports.tws)):
        if not port:
            continue
        try:
            with socket.create_server((ports.host, port)):
                pass
        except OSError as error:
            raise InputError(
                f"Port {port} of {ports.host} cannot be listened on: {error.strerror or error}.",
                remedy="Choose another, or 0 for any that is free.",
                where=option,
            ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
