"""Fifty readers and a collecting run at once, over loopback, and how long a reader waits for ten years of prices.

    python -m tests.benchmarks.bench_api [readers] [seconds]

The server is a process of its own, as `scizor serve` begins it, on a home with sixty symbols of ten years; the run is
one that the process beside it does. Every reader asks for one symbol after the other, without a pause. An
answer that is not 200, and a p99 beyond 250 ms, end the benchmark with exit code 1; the load average is printed
beside, because on a machine that is busy with something else the second says nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.markets import fill_history, refresh_prices
from scizor_dagster.flow.symbols import refresh_symbols
from tests.api.conftest import key_for
from tests.projects import Project, small_project, write_universe

READERS = int(sys.argv[1]) if len(sys.argv) > 1 else 50
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
SYMBOLS = [f"S{number:02}" for number in range(60)]
NOT_YET = [f"T{number:02}" for number in range(40)]
"""What the collecting run brings: the server's readers are served while it is fetched, judged and stored."""
LIMIT_MS = 250.0
TEN_YEARS = {"start_date": "2015-01-02", "end_date": "2024-12-31"}


def filled(folder: Path) -> Project:
    """A home with ten years of sixty symbols, and forty of which nothing is stored."""
    project = small_project(folder, markets={"us": {"first_session": date(2015, 1, 2)}})
    names = ("requests_per_minute", "requests_per_minute_per_address")
    with (folder / "config.yaml").open("a", encoding="utf-8") as config:
        config.write("api:\n  dagster_url: http://127.0.0.1:9\n" + "".join(f"  {name}: 1000000\n" for name in names))
    write_universe(folder / "universe.csv", [*SYMBOLS, *NOT_YET])
    desk = Desk(project.settings, now)
    refresh_symbols(desk, "us")
    fill_history(desk, "us", (2015, 2024), date(2024, 12, 31), symbols=SYMBOLS)
    refresh_prices(desk, "us")
    desk.lake.close()
    return project


def now() -> datetime:
    return datetime.now(UTC)


class Reader(threading.Thread):
    """Asks until it is told to stop; `waited` is milliseconds by answer, `wrong` whatever was none."""

    def __init__(self, url: str, key: str, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.waited: list[float] = []
        self.wrong: list[str] = []
        self._place = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}"}
        self._number = number
        self._stop_asking = stop

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._place, timeout=60)
        asked = self._number
        while not self._stop_asking.is_set():
            symbol = SYMBOLS[asked % len(SYMBOLS)]
            asked += 7
            path = path_of(symbol)
            began = time.perf_counter()
            try:
                connection.request("GET", path, headers=self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except OSError as error:
                self.wrong.append(type(error).__name__)
                return
            self.waited.append((time.perf_counter() - began) * 1e3)
            if answer.status != 200 or b'"rows":' not in body[:400]:
                self.wrong.append(f"{answer.status}: {body[:200]!r}")
        connection.close()


def path_of(symbol: str) -> str:
    return f"/api/data/{symbol}?start_date={TEN_YEARS['start_date']}&end_date={TEN_YEARS['end_date']}"


def ask(url: str, key: str, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def bench(project: Project, url: str, key: str) -> bool:
    stop = threading.Event()
    readers = [Reader(url, key, number, stop) for number in range(READERS)]
    for name in SYMBOLS:
        ask(url, key, "GET", path_of(name))
    status, run = ask(url, key, "POST", "/api/collections", {"kind": "history", **TEN_YEARS})
    assert status == 202, run
    began, load = time.monotonic(), os.getloadavg()[0]
    for reader in readers:
        reader.start()
    state: dict[str, object] = {}
    while time.monotonic() - began < SECONDS or state.get("status") not in ("succeeded", "failed"):
        time.sleep(1.0)
        _, state = ask(url, key, "GET", f"/api/collections/{run['id']}")
        if time.monotonic() - began > 20 * SECONDS:
            break
    took = time.monotonic() - began
    stop.set()
    for reader in readers:
        reader.join(60)
    waited = sorted(number for reader in readers for number in reader.waited)
    wrong = [text for reader in readers for text in reader.wrong]
    p99 = waited[int(0.99 * len(waited))]
    ended, first = f"{state.get('status')} {state.get('problem') or ''}".strip(), f": {wrong[0]}" if wrong else ""
    print(f"{READERS} readers for {took:.0f} s beside a collecting run, which {ended}: {len(waited):,} answers")
    print(f"p50 {statistics.median(waited):.0f} ms, p99 {p99:.0f} ms (limit {LIMIT_MS:.0f}), max {waited[-1]:.0f} ms")
    print(f"{len(wrong)} errors{first}; load average before {load:.1f} on {os.cpu_count()} processors")
    return not wrong and p99 <= LIMIT_MS and state.get("status") == "succeeded"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        project = filled(Path(name))
        key = key_for(project, now=now() - timedelta(hours=1))
        environment = {**os.environ, **project.environment}
        command = [sys.executable, "-m", "scizor_dagster", "serve", "--service", "data-farmer", "--port", "18123"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        url = "http://127.0.0.1:18123"
        try:
            good = _answers(url, key) and bench(project, url, key)
        finally:
            server.terminate()
            server.wait(120)
    raise SystemExit(0 if good else 1)


def _answers(url: str, key: str) -> bool:
    """Wait until the server is there."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            return ask(url, key, "GET", "/api/health")[0] == 200
        except OSError:
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    main()
