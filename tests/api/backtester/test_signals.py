"""Weight files over HTTP: taken whole or refused whole, and nothing that a file holds is run, followed or believed."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from scizor_dagster.flow.desk import Desk
from scizor_dagster.flow.explaining import explain
from scizor_dagster.flow.plans import plan_session
from scizor_dagster.flow.signals import consolidate_session
from scizor_dagster.ledger.store import Ledger
from tests.api.client import Answer, Client
from tests.api.conftest import NEXT, NOW, key_for
from tests.projects import Project

CSV, XLSX = "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PARQUET, ANY = "application/vnd.apache.parquet", "application/octet-stream"
HEADER = "trade_date,asset_id,target_weight\n"
GOOD = f"{HEADER}2025-02-10,AAPL,0.4\n2025-02-10,MSFT,0.4\n".encode()
ROWS = [("2025-02-10", "AAPL", 0.4), ("2025-02-10", "MSFT", 0.4)]


def post(client: Client, strategy: str, body: bytes, kind: str = CSV, query: str = "") -> Answer:
    path = f"/api/strategies/{strategy}/signals{query}"
    return client.post(path, body=body, headers={"content-type": kind})


def book(change: Callable[[openpyxl.Workbook], None] = lambda _: None) -> bytes:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for row in (HEADER.strip().split(","), *ROWS):
        sheet.append(list(row))
    change(workbook)
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def frame() -> bytes:
    stream = io.BytesIO()
    pd.DataFrame(ROWS, columns=HEADER.strip().split(",")).to_parquet(stream)
    return stream.getvalue()


def with_part(name: str, content: bytes, mode: int = 0o644) -> bytes:
    """A workbook with one more part, or another in the place of the one that has this name."""
    stream = io.BytesIO()
    old = zipfile.ZipFile(io.BytesIO(book()))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            if item.filename != name:
                new.writestr(item.filename, old.read(item))
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        new.writestr(info, content)
    return stream.getvalue()


def bomb() -> bytes:
    """A workbook with a sheet that unpacks to more than is allowed."""
    stream = io.BytesIO(book())
    with (
        zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/worksheets/sheet2.xml", "w") as part,
    ):
        for _ in range(260):
            part.write(b" " * 1024 * 1024)
    return stream.getvalue()


def many_parts() -> bytes:
    stream = io.BytesIO(book())
    with zipfile.ZipFile(stream, "a") as archive:
        for number in range(2500):
            archive.writestr(f"xl/media/{number}", b"")
    return stream.getvalue()


def tree(folder: Path) -> dict[str, str]:
    """Every file but those of the stores, by its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not {"lake", "dagster"} & set(path.parts) and "ledger" not in path.name:
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize(
    ("strategy", "body", "kind", "name"),
    [
        ("weekly", GOOD, CSV, "weights.csv"),
        ("weekly", GOOD, ANY, "weights.csv"),
        ("book", book(), XLSX, "book.xlsx"),
        ("frame", frame(), PARQUET, "frame.parquet"),
    ],
    ids=["csv", "without a type", "xlsx", "parquet"],
)
def test_a_file_of_each_format_lies_where_the_manifest_says(
    drop: Client, fresh: Project, strategy: str, body: bytes, kind: str, name: str
) -> None:
    answer = post(drop, strategy, body, kind)
    assert answer.status == 201, answer.text
    assert (answer.json["status"], answer.json["sessions"], answer.json["rows"]) == ("accepted", ["2025-02-10"], 2)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert (fresh.folder / name).read_bytes() == body
    again = post(drop, strategy, body, kind)
    assert (again.status, again.json["fresh"]) == (200, False)
    [row] = drop.get(f"/api/strategies/{strategy}/signals").json["items"]
    assert (row["sha256"], row["handed_in_by"]) == (answer.json["sha256"], "ada")


def test_a_refused_file_is_told_line_by_line_and_changes_nothing(drop: Client, fresh: Project) -> None:
    post(drop, "weekly", GOOD)
    before = tree(fresh.folder)
    answer = post(drop, "weekly", f"{HEADER}2025-02-10,AAPL,much\n2025-02-10,AAPL,0.1\n2025-02-09,MSFT,0.2\n".encode())
    assert answer.status == 422
    told = {(item["rule"], item["line"], item["value"]) for item in answer.json["errors"]}
    assert ("not_a_number", "2", "much") in told, told
    assert all(item["remedy"] for item in answer.json["errors"])
    assert "the file that was accepted last stays" in answer.json["remedy"]
    assert tree(fresh.folder) == before
    assert len(drop.get("/api/strategies/weekly/signals").json["items"]) == 1


def test_a_file_may_be_asked_to_have_rows_for_a_session(drop: Client) -> None:
    assert post(drop, "weekly", GOOD, query="?session=2025-02-10").status == 201
    answer = post(drop, "weekly", GOOD + b"2025-02-11,AAPL,0.2\n", query="?session=2025-02-12")
    assert (answer.status, answer.json["errors"][0]["rule"]) == (422, "no_rows_for_session")
    assert post(drop, "weekly", GOOD, query="?session=2025-02-09").status == 422


def test_a_held_file_says_what_must_be_approved(drop: Client) -> None:
    answer = post(drop, "weekly", f"{HEADER}2025-02-10,AAPL,0\n".encode())
    assert (answer.status, answer.json["status"]) == (201, "held")
    assert [item["rule"] for item in answer.json["held_for"]] == ["all_zero"]


def test_what_takes_no_file_and_what_is_not_there_is_refused(drop: Client, fresh: Project) -> None:
    assert post(drop, "computing", GOOD).status == 422
    assert post(drop, "momentum", GOOD).status == 404
    for name in ("..%2f..%2fweights.csv", "%2e%2e", "weekly%00", "weekly'--", "x" * 65):
        assert post(drop, name, GOOD).status in (400, 404, 422)
    other = drop.holding(key_for(fresh, accounts={"another"}))
    assert post(other, "weekly", GOOD).status == 404
    assert other.get("/api/strategies/weekly/signals").status == 404
    assert post(drop, "weekly", b"").status == 422


def test_a_file_is_of_the_type_that_it_says(drop: Client) -> None:
    assert post(drop, "weekly", book(), XLSX).status == 415
    assert post(drop, "book", GOOD, CSV).status == 415
    assert post(drop, "weekly", GOOD, "text/html").status == 415
    assert post(drop, "weekly", book(), CSV).json["errors"][0]["rule"] == "wrong_format"


def test_an_order_leads_back_to_who_handed_its_weights_in(api: Client, project: Project) -> None:
    weights = (project.folder / "weights.csv").read_bytes().replace(b"NVDA,0.3", b"NVDA,0.29")
    taken = post(api, "weekly", weights)
    assert (taken.status, taken.json["fresh"]) == (201, True), taken.text
    desk = Desk(project.settings, lambda: NOW)
    consolidate_session(desk, "main", NEXT)
    plan_session(desk, "main", NEXT)
    told = explain(desk, "NVDA", portfolio="main", session=NEXT)
    [file] = [link for link in told.links if link.step == "file"]
    assert file.facts["file_sha256"] == taken.json["sha256"]
    assert [row["actor"] for row in file.facts["handed_in"]] == ["ada"]
    assert any(sentence.startswith("Handed in by ada in request") for sentence in file.sentences)


def formula(workbook: openpyxl.Workbook) -> None:
    workbook.active["C2"] = '=WEBSERVICE("http://127.0.0.1/"&A1)'  # type: ignore[index]


def hidden(workbook: openpyxl.Workbook) -> None:
    workbook.active.sheet_state = "hidden"  # type: ignore[union-attr]
    workbook.create_sheet("shown")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('pathlib').Path('scizor-was-here').touch()",)


XXE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><worksheet>&e;</worksheet>'
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12))
    + b"]><worksheet>&m;</worksheet>"
)
PAYLOADS: dict[str, tuple[str, bytes | Callable[[], bytes], str]] = {
    "a bomb": ("book", bomb, XLSX),
    "too many parts": ("book", many_parts, XLSX),
    "a part with a program": ("book", with_part("xl/vbaProject.bin", b"macro"), XLSX),
    "a sheet of macros": ("book", with_part("xl/macrosheets/sheet1.xml", b"<x/>"), XLSX),
    "a link to another file": ("book", with_part("xl/externalLinks/externalLink1.xml", b"<x/>"), XLSX),
    "a connection": ("book", with_part("xl/connections.xml", b"<x/>"), XLSX),
    "a formula": ("book", book(formula), XLSX),
    "a hidden sheet": ("book", book(hidden), XLSX),
    "an entity of the machine": ("book", with_part("xl/worksheets/sheet1.xml", XXE), XLSX),
    "laughs": ("book", with_part("xl/worksheets/sheet1.xml", LAUGHS), XLSX),
    "a workbook cut off": ("book", book()[:-200], XLSX),
    "an old workbook": ("book", b"\xd0\xcf\x11\xe0" + b"\0" * 600, XLSX),
    "a workbook with a password": ("book", b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), XLSX),
    "a zip that is none": ("book", b"PK\x03\x04" + b"x" * 500, XLSX),
    "a frame cut off": ("frame", frame()[:-20], PARQUET),
    "a frame of nothing": ("frame", b"PAR1" + b"\xff" * 64 + b"PAR1", PARQUET),
    "a frame of another kind": ("frame", GOOD, PARQUET),
    "a pickled object": ("frame", pickle.dumps(Evil()), PARQUET),
    "a pickled object as text": ("weekly", pickle.dumps(Evil()), CSV),
    "an archive": ("weekly", b"\x1f\x8b\x08\x00" + b"x" * 100, CSV),
    "a page": ("weekly", b"%PDF-1.7 x", CSV),
    "an ELF program": ("weekly", b"\x7fELF" + b"\0" * 200, CSV),
    "text in another form": ("weekly", GOOD.decode().encode("utf-16"), CSV),
    "bytes that are no text": ("weekly", HEADER.encode() + b"2025-02-10,\xff\xfe,0.4\n", CSV),
    "a NUL": ("weekly", HEADER.encode() + b"2025-02-10,AA\0PL,0.4\n", CSV),
    "a formula as a weight": ("weekly", f"{HEADER}2025-02-10,AAPL,=cmd|' /C calc'!A0\n".encode(), CSV),
    "a formula as a name": ("weekly", f"{HEADER}2025-02-10,@SUM(1+1),0.4\n".encode(), CSV),
    "a path as a name": ("weekly", f"{HEADER}2025-02-10,../../../etc/passwd,0.4\n".encode(), CSV),
    "a statement as a name": ("weekly", f"{HEADER}2025-02-10,'; DROP TABLE signals; --,0.4\n".encode(), CSV),
    "a page as a name": ("weekly", f"{HEADER}2025-02-10,<script>alert(1)</script>,0.4\n".encode(), CSV),
    "a template as a name": ("weekly", f"{HEADER}2025-02-10,{{{{7*7}}}},0.4\n".encode(), CSV),
    "a very long name": ("weekly", f"{HEADER}2025-02-10,{'A' * 100_000},0.4\n".encode(), CSV),
    "a number beyond all": ("weekly", f"{HEADER}2025-02-10,AAPL,1e999\n".encode(), CSV),
    "no number": ("weekly", f"{HEADER}2025-02-10,AAPL,nan\n".encode(), CSV),
    "a short": ("weekly", f"{HEADER}2025-02-10,AAPL,-0.4\n".encode(), CSV),
    "more than there is": (
        "weekly",
        f"{HEADER}2025-02-10,AAPL,0.5\n2025-02-10,MSFT,0.5\n2025-02-10,NVDA,0.5\n".encode(),
        CSV,
    ),
    "a day that never was": ("weekly", f"{HEADER}2025-02-30,AAPL,0.4\n".encode(), CSV),
    "a year beyond all": ("weekly", f"{HEADER}99999-02-10,AAPL,0.4\n".encode(), CSV),
    "the same twice": ("weekly", GOOD + b"2025-02-10,AAPL,0.4\n", CSV),
    "a header alone": ("weekly", HEADER.encode(), CSV),
    "other columns": ("weekly", b"a,b,c\n1,2,3\n", CSV),
    "another's account": ("weekly", b"trade_date,asset_id,target_weight,account\n2025-02-10,AAPL,0.4,theirs\n", CSV),
    "a quote without end": ("weekly", f'{HEADER}2025-02-10,"AAPL,0.4\n'.encode(), CSV),
}


@pytest.mark.parametrize("payload", PAYLOADS, ids=str)
def test_what_means_harm_is_refused_whole_and_nothing_of_it_is_left_or_run(
    payload: str, drop: Client, fresh: Project
) -> None:
    strategy, made, kind = PAYLOADS[payload]
    body = made if isinstance(made, bytes) else made()
    before = tree(fresh.folder.parent)
    answer = post(drop, strategy, body, kind)
    assert answer.status == 422, answer.text
    assert answer.json["errors"], answer.text
    assert tree(fresh.folder.parent) == before
    assert str(fresh.folder) not in answer.text
    assert "root:" not in answer.text
    assert not Path("scizor-was-here").exists()


@pytest.mark.parametrize("name", ["../../evil.csv", "/tmp/evil.csv", "xl/../../../evil"])
def test_names_within_an_archive_and_links_in_it_lead_nowhere(name: str, drop: Client, fresh: Project) -> None:
    before = tree(fresh.folder.parent)
    for mode in (0o644, 0o120777):
        answer = post(drop, "book", with_part(name, b"/etc/passwd", mode=mode), XLSX)
        # The parts that are read are known beforehand: others are not even looked at.
        assert answer.status in (200, 201), answer.text
    after = tree(fresh.folder.parent)
    assert set(after) - set(before) == {f"{fresh.folder.name}/book.xlsx"}
    assert not Path("/tmp/evil.csv").exists()


def test_a_file_larger_than_is_taken_is_not_read(drop: Client, fresh: Project) -> None:
    context = drop.app.state.context
    context.rules = context.rules.model_copy(update={"max_upload_bytes": 1000})
    assert post(drop, "weekly", GOOD + b"x" * 1000).status == 413


def test_a_file_that_comes_while_another_is_taken_in_is_taken_under_the_same_key_afterwards(
    drop: Client, fresh: Project
) -> None:
    ledger = Ledger.open(fresh.settings.ledger_url)
    headers = {"content-type": CSV, "Idempotency-Key": "one"}
    with ledger.process_lock("weights-weekly") as held:
        assert held
        answer = drop.post("/api/strategies/weekly/signals", body=GOOD, headers=headers)
        assert (answer.status, "Send it again" in answer.json["remedy"]) == (409, True)
    ledger.close()
    assert drop.post("/api/strategies/weekly/signals", body=GOOD, headers=headers).status == 201
