"""One notice to one target: what goes over the wire, what a failure says, and that nothing of an address is said."""

import json
import stat
import sys
from pathlib import Path

import pytest

from scizor_dagster.notifications.delivery import NotTold, check_address, check_program, tell_address, tell_program
from scizor_dagster.notifications.notice import Notice
from tests.notifications.listener import Listener

TOKEN = "7c4f-hidden-token-99"
NOTICE = Notice(
    "halt", "portfolio main", "today", "main is halted", "By ann: <b>a look</b>\nThen resume.", {"by": "ann"}
)
AT = "2026-11-20T21:00:00+00:00"


def teller(folder: Path, body: str) -> list[str]:
    script = folder / "tell.py"
    script.write_text(f"import json, sys, time\nheard = {str(folder / 'heard.json')!r}\n{body}\n", encoding="utf-8")
    return [sys.executable, str(script)]


def test_an_address_gets_title_and_text_as_they_are(listener: Listener) -> None:
    tell_address("PHONE", listener.url(TOKEN), NOTICE, timeout=20)
    [heard] = listener.heard
    assert heard["title"] == "main is halted"
    assert heard["message"] == NOTICE.text
    assert listener.paths == [f"/{TOKEN}"]


@pytest.mark.parametrize("status", [401, 500])
def test_an_address_that_answers_no_is_said_with_its_status_and_without_itself(listener: Listener, status: int) -> None:
    listener.status = status
    with pytest.raises(NotTold) as caught:
        tell_address("PHONE", listener.url(TOKEN), NOTICE, timeout=20)
    assert f"PHONE was not told: it answered with HTTP status {status}" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_an_address_that_refuses_every_connection_is_said(listener: Listener) -> None:
    with pytest.raises(NotTold, match="PHONE was not told: it cannot be reached"):
        tell_address("PHONE", f"json://127.0.0.1:9/{TOKEN}", NOTICE, timeout=20)


def test_an_address_that_does_not_answer_in_time_is_left(listener: Listener) -> None:
    listener.silent = True
    with pytest.raises(NotTold) as caught:
        tell_address("PHONE", listener.url(TOKEN), NOTICE, timeout=1.5)
    # Which of the two waits ends first is the machine's business.
    assert "cannot be reached" in str(caught.value) or "did not end within 1.5 s and was killed" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", [f"no-such-service://{TOKEN}", f"tgram://{TOKEN}"])
def test_an_address_that_is_none_is_said_without_itself(url: str) -> None:
    with pytest.raises(NotTold) as caught:
        tell_address("PHONE", url, NOTICE, timeout=20)
    assert "its address is none that Apprise knows" in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"tgram://{TOKEN}", "its address is none that Apprise knows"),
        (f"no-such-service://{TOKEN}", "its address is none that Apprise knows"),
    ],
)
def test_an_address_that_cannot_be_read_is_said_without_itself(url: str, problem: str) -> None:
    with pytest.raises(NotTold, match=f"PHONE was not told: {problem}") as caught:
        check_address("PHONE", url, timeout=20)
    assert TOKEN not in str(caught.value)


def test_an_address_is_read_without_a_word_to_it(listener: Listener) -> None:
    check_address("PHONE", listener.url(TOKEN), timeout=20)
    assert listener.titles == []


def test_a_program_is_looked_for_on_the_path_or_in_the_folder_and_not_run(tmp_path: Path) -> None:
    script = tmp_path / "tell.sh"
    script.write_text("#!/bin/sh\ntouch heard\n", encoding="utf-8")
    with pytest.raises(NotTold, match=r"\./tell\.sh was not told: there is no such program that may be run"):
        check_program(["./tell.sh"], tmp_path)
    script.chmod(0o700)
    check_program(["./tell.sh"], tmp_path)
    check_program(["sh"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tell.sh"]


def test_a_program_hears_the_notice_on_its_standard_input(tmp_path: Path) -> None:
    command = teller(tmp_path, "open(heard, 'w').write(sys.stdin.read())")
    tell_program(command, NOTICE, AT, timeout=20, folder=tmp_path)
    assert json.loads((tmp_path / "heard.json").read_text(encoding="utf-8")) == {
        "event": "halt",
        "subject": "portfolio main",
        "at": AT,
        "title": "main is halted",
        "text": NOTICE.text,
        "facts": {"by": "ann"},
    }


@pytest.mark.parametrize(
    ("body", "problem", "words"),
    [
        ("sys.exit('no route to host')", "it ended with exit code 1", "no route to host"),
        ("time.sleep(60)", "it did not end within 0.5 s and was killed", ""),
    ],
)
def test_a_program_that_fails_or_hangs_is_said(tmp_path: Path, body: str, problem: str, words: str) -> None:
    timeout = 0.5 if "sleep" in body else 30.0
    with pytest.raises(NotTold, match=problem) as caught:
        tell_program(teller(tmp_path, body), NOTICE, AT, timeout=timeout, folder=tmp_path)
    assert caught.value.words == words


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotTold, match=r"\./no-such-program was not told: it cannot be run \(No such file"):
        tell_program(["./no-such-program"], NOTICE, AT, timeout=5, folder=tmp_path)


def test_no_shell_reads_the_arguments_and_relative_paths_begin_in_the_folder(tmp_path: Path) -> None:
    script = tmp_path / "tell.sh"
    script.write_text('#!/bin/sh\nprintf "%s" "$1" > heard.txt\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    tell_program(["./tell.sh", "$(touch pwned); `id` > x"], NOTICE, AT, timeout=20, folder=tmp_path)
    assert (tmp_path / "heard.txt").read_text(encoding="utf-8") == "$(touch pwned); `id` > x"
    assert not (tmp_path / "pwned").exists()
