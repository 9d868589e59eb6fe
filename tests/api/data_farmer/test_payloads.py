"""Names, ranges and bodies that are meant to reach a file, a query or a spreadsheet: none of them does.

Each goes wherever a route takes a text. Nothing outside the home is read or written, nothing that was sent is run, and
no answer is a failure of the server's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from scizor_dagster.api.app import create_app
from scizor_dagster.api.runs import RunRequest, Runs, RunState, RunStatus
from tests.api.client import Client
from tests.api.conftest import NOW, enter, key_for
from tests.api.test_every_route_is_guarded import unlimited
from tests.projects import Project, project_at

CANARY = "canary-5d41402abc4b2a76"
NAMES = [
    "../outside.txt",
    "../../outside.txt",
    "../../../../../../etc/passwd",
    "..\\..\\outside.txt",
    "..%2foutside.txt",
    "%2e%2e%2foutside.txt",
    "..%252foutside.txt",
    "..%c0%afoutside.txt",
    "....//outside.txt",
    "/etc/passwd",
    "//etc/passwd",
    "file:///etc/passwd",
    "C:\\Windows\\win.ini",
    "\\\\host\\share",
    "~/.ssh/id_rsa",
    "AAPL/../../outside.txt",
    "AAPL.XNAS/../MSFT",
    "AAPL\x00",
    "AAPL\x00.csv",
    "\x00",
    "AAPL\r\nX-Injected: 1",
    "AAPL\t",
    "AAPL\u202eLPAA",
    "\uff21\uff21\uff30\uff2c",
    "AAPL\u200b",
    "\U0001f4b8",
    "\u0130",
    "\ud7ff",
    "A" * 65,
    "A" * 5000,
    ".",
    "..",
    " ",
    "'",
    "' OR '1'='1",
    "'; DROP TABLE bars; --",
    "AAPL' UNION SELECT * FROM read_csv('/etc/passwd') --",
    "read_text('../outside.txt')",
    "x'); ATTACH '../outside.txt' AS z; --",
    "$symbols",
    "?",
    "%",
    "_",
    "*",
    "AAPL,MSFT",
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    '=HYPERLINK("http://127.0.0.1/")',
    "{{7*7}}",
    "${SCIZOR_HOME}",
    "${jndi:ldap://127.0.0.1/a}",
    "__import__('os').system('id')",
    "<script>alert(1)</script>",
    "null",
    "NaN",
    "true",
    "[object Object]",
    '{"symbol":"AAPL"}',
    "!!python/object/apply:os.system ['id']",
    "`id`",
    "$(id)",
    "; id",
]
VALUES = [
    "../outside.txt",
    "' OR '1'='1",
    "0001-01-01",
    "9999-12-31",
    "2025-02-30",
    "1e400",
    "=1+1",
    "\x00",
    "A" * 9000,
]
each = pytest.mark.parametrize("name", NAMES, ids=[f"{place}-{ascii(name)[1:30]}" for place, name in enumerate(NAMES)])


@contextmanager
def attacked(original: Project, around: Path) -> Iterator[tuple[Client, Project]]:
    """One application on a copy of `original` for all of them; nothing that they would run in Dagster is run."""
    folder = around / "deep" / "project"
    shutil.copytree(original.folder, folder)
    for place in (folder, *folder.parents[:2]):
        (place / "outside.txt").write_text(CANARY, encoding="utf-8")
    project = unlimited(project_at(folder))
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, project)
        patch.setattr(Runs, "submit", _not_run)
        client = Client(create_app(project.settings, clock=lambda: NOW), key_for(project))
        yield client, project
        client.app.state.context.close()
        client.close()


@pytest.fixture(scope="module")
def home(_priced: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Project]]:
    with attacked(_priced, tmp_path_factory.mktemp("payloads")) as found:
        yield found


def _not_run(_: Runs, request: RunRequest, actor: str) -> RunState:
    return RunState("0" * 32, request.job, RunStatus.QUEUED, request.all_tags(actor))


def outside(project: Project) -> dict[str, bytes]:
    """Every file around the stores, with its content."""
    top = project.folder.parents[1]
    files = (path for path in top.rglob("*") if path.is_file() and project.home not in path.parents)
    return {str(path): path.read_bytes() for path in files if not path.name.endswith(".lock")}


def harmless(home: tuple[Client, Project], *requests: tuple[str, str, object]) -> None:
    client, project = home
    before = outside(project)
    for method, path, body in requests:
        answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
        assert 200 <= answer.status < 500, f"{method} {path[:80]}: {answer.text}"
        assert CANARY.encode() not in answer.body
        assert b"root:" not in answer.body
        assert "x-injected" not in answer.headers
    assert outside(project) == before


@each
def test_a_name_in_a_path_is_looked_up_and_no_more(name: str, home: tuple[Client, Project]) -> None:
    spelled, raw = quote(name, safe=""), quote(name, safe="/%")
    harmless(
        home,
        ("GET", f"/api/data/{spelled}", None),
        ("GET", f"/api/data/{raw}", None),
        ("GET", f"/api/data/{spelled}/quality", None),
        ("GET", f"/api/symbols/{raw}", None),
        ("DELETE", f"/api/symbols/{spelled}?reason=gone", None),
        ("POST", f"/api/collect/{spelled}", None),
        ("GET", f"/api/collections/{spelled}", None),
    )


@each
def test_a_name_in_a_query_is_compared_and_no_more(name: str, home: tuple[Client, Project]) -> None:
    spelled = quote(name, safe="")
    harmless(
        home,
        ("GET", f"/api/data/MSFT?market={spelled}", None),
        ("GET", f"/api/data/MSFT?format={spelled}", None),
        ("GET", f"/api/gaps?symbol={spelled}", None),
        ("GET", f"/api/symbols?market={spelled}", None),
        ("GET", f"/api/symbols?sector={spelled}", None),
        ("GET", f"/api/prices/quarantined?market={spelled}", None),
    )


@each
def test_a_name_in_a_body_changes_no_file_that_was_not_meant(name: str, home: tuple[Client, Project]) -> None:
    harmless(
        home,
        ("POST", "/api/symbols", {"symbol": name, "mic": "XNAS"}),
        ("POST", "/api/symbols", {"symbol": "ZZZ", "mic": "XNAS", "file": name}),
        ("POST", "/api/symbols/validate", {"symbols": [name]}),
        ("POST", "/api/collections", {"market": name}),
        ("POST", "/api/prices/accept", {"symbol": name, "session": "2025-01-10", "reason": "it is"}),
    )


@pytest.mark.parametrize("value", VALUES, ids=[ascii(value)[1:20] for value in VALUES])
def test_a_date_is_a_date_or_refused(value: str, home: tuple[Client, Project]) -> None:
    spelled = quote(value, safe="")
    requests = [("GET", f"/api/{path}?{name}={spelled}", None) for path in ("data/MSFT", "data/MSFT/quality", "gaps")
                for name in ("start_date", "end_date")]  # fmt: skip
    bodies = [("POST", "/api/collect/historical/MSFT", {name: value}) for name in ("start_date", "end_date")]
    harmless(home, *requests, *bodies, ("POST", "/api/collections", {"session": value}))


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", 'a,"b"', "x\uff1d1"])
def test_a_text_that_is_kept_comes_back_as_it_was_and_runs_in_no_spreadsheet(
    text: str, home: tuple[Client, Project]
) -> None:
    client, project = home
    made = client.post("/api/symbols", json={"symbol": "ZZZ", "mic": "XNAS", "name": text})
    assert (made.status, made.json["name"]) == (201, text)
    line = (project.folder / "universe.csv").read_text(encoding="utf-8").splitlines()[-1]
    assert not line.split(",", 2)[2].lstrip('"').startswith(("=", "+", "@"))
    assert client.delete("/api/symbols/ZZZ?reason=tried").status == 200


def test_there_are_sixty_names_at_least() -> None:
    assert len(NAMES) >= 60
    assert Path("/etc/passwd").read_bytes().startswith(b"root:")
