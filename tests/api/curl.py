"""The commands of the documentation, asked of an application in this process as `curl` would ask a server."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template

from tests.api.client import Answer, Client

SERVER = "http://127.0.0.1:8000"


def curl(client: Client, command: str, named: Mapping[str, str], folder: Path) -> Answer:
    """Run one line.

    Args:
        client: Its key stands for `$SCIZOR_KEY`.
        command: With the options of `curl` that the documents use.
        named: Values of other variables of the shell.
        folder: Where files are read and written.
    """
    words = shlex.split(Template(command).substitute(named, SCIZOR_KEY=client.key))
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-sN", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-X", default=None)
    parser.add_argument("-d", default=None)
    parser.add_argument("--data-binary", default=None)
    parser.add_argument("-o", default=None)
    parser.add_argument("url")
    assert words[0] == "curl", command
    given = parser.parse_args(words[1:])
    assert given.url.startswith(SERVER), command
    headers = dict(line.split(": ", 1) for line in given.H)
    body = None if given.d is None else given.d.encode()
    if given.data_binary is not None:
        body = (folder / given.data_binary.removeprefix("@")).read_bytes()
    method = given.X or ("GET" if body is None else "POST")
    answer = client.holding(None).request(method, given.url.removeprefix(SERVER), body=body, headers=headers)
    if given.o is not None:
        (folder / given.o).write_bytes(answer.body)
    return answer
