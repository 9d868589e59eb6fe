"""A real headless browser and a real webserver, for tests that look at what a person sees."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

START_SECONDS = 90


def require_chromium() -> tuple[str, str]:
    """Paths of chromium and its driver; skips with a reason for a user, fails under CI=1."""
    chromium = os.environ.get("SCIZOR_CHROMIUM") or shutil.which("chromium")
    driver = os.environ.get("SCIZOR_CHROMEDRIVER") or shutil.which("chromedriver")
    if chromium and driver:
        return chromium, driver
    reason = "chromium and chromedriver are not on PATH; install them, or set SCIZOR_CHROMIUM and SCIZOR_CHROMEDRIVER"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def browser(width: int = 1500, height: int = 1000, flags: Sequence[str] = ()) -> Iterator[webdriver.Chrome]:
    chromium, driver = require_chromium()
    with tempfile.TemporaryDirectory() as profile:
        options = Options()
        options.binary_location = chromium
        for flag in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *flags,
        ):
            options.add_argument(flag)
        chrome = webdriver.Chrome(options=options, service=Service(executable_path=driver))
        try:
            chrome.set_page_load_timeout(60)
            yield chrome
        finally:
            chrome.quit()


@contextmanager
def webserver(home: Path, config: Path, root: Path, *, writable: bool = False) -> Iterator[str]:
    """Dagster's webserver on a prepared home; yields its address."""
    port = _free_port()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home / "dagster"),
        "SCIZOR_HOME": str(home),
        "SCIZOR_CONFIG": str(config),
    }
    command = [
        str(Path(sys.executable).parent / "dagster-webserver"),
        "--workspace",
        str(root / "workspace.yaml"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *(() if writable else ("--read-only",)),
    ]
    with (home / "webserver.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_up(address, process)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_up(address: str, process: subprocess.Popen[bytes]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    def up(_: object) -> bool:
        assert process.poll() is None, "the webserver ended while starting"
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    WebDriverWait(None, START_SECONDS, poll_frequency=0.3).until(up)  # type: ignore[arg-type]
