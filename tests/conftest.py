"""Fixtures and guards that every test shares: no network beyond loopback, reference data by setting."""

import os
import socket
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent
_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(scope="session")
def project_root() -> Path:
    return PROJECT_ROOT


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of real prices and weights: `SCIZOR_REFERENCE_DATA`, else `../shared/data`."""
    folder = Path(os.environ.get("SCIZOR_REFERENCE_DATA") or PROJECT_ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        reason = f"no reference data in {folder}; set SCIZOR_REFERENCE_DATA"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> object:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            host = str(address[0])
            if not host.startswith(_LOOPBACK):
                raise RuntimeError(f"a test tried to reach {host}; only loopback is allowed")
        return connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
