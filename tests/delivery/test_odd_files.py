"""One odd thing in an inbox never keeps the others from being delivered, and what becomes of it is said."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deployments.commands import failure
from flows.intake.fate import Fate
from flows.intake.incoming import LONGEST_NAME, short
from flows.storage.access import is_name
from tests.harness.inboxes import LIMIT, QUICK, inbox, intake, look, put, report, w_file
from tests.harness.world import World, world


@pytest.fixture
def here(tmp_path: Path, redis_url: str) -> Iterator[World]:
    with world(tmp_path, redis_url, limit=LIMIT, knobs=QUICK) as w:
        inbox(w).mkdir(parents=True)
        yield w


def lay(w: World, name: bytes, rows: int) -> None:
    path = os.fsencode(inbox(w)) + b"/" + name
    with open(path, "wb") as file:
        file.write(w_file(rows))
    os.utime(path, (time.time() - 90, time.time() - 90))


def test_a_name_that_is_not_utf8_is_delivered_under_one_that_can_be_read(here: World) -> None:
    lay(here, b"\xee\xf2\xf7\xb8\xf2.csv", 3)
    lay(here, b"\xef\xf2\xf7\xb8\xf2.csv", 4)  # another one that reads the same
    put(here, "good.csv", 5, age=30)

    made = intake(here)
    made.look()

    assert Counter(taken.fate for taken in made.taken) == {Fate.DELIVERED: 3}
    assert here.report()["arrivals"] == 12
    assert sorted(path.name for path in (inbox(here) / "done").glob("*.csv")) == [
        "good.csv", "\ufffd\ufffd\ufffd\ufffd\ufffd-2.csv", "\ufffd\ufffd\ufffd\ufffd\ufffd.csv",
    ]  # fmt: skip
    assert look(here) == {}


@pytest.mark.parametrize("name", ["a" * 251 + ".csv", "a" * 240 + ".csv", "\u00e9" * 125 + ".csv"])
def test_a_name_of_any_length_is_put_away_with_a_report_and_its_troubled_rows_beside_it(here: World, name: str) -> None:
    put(here, "short.csv", 3, bad=1).rename(inbox(here) / name)

    assert look(here) == {name: Fate.TROUBLED}

    names = sorted(path.name for path in (inbox(here) / "failed").iterdir())
    assert len(names) == 3
    assert {"".join(Path(each).suffixes[-2:]) for each in names} == {".csv", ".report.json", ".troubled.csv"}
    assert report(inbox(here) / "failed" / names[0])["file"] == name
    assert look(here) == {}


def test_a_shortened_name_keeps_its_ending_and_whole_characters() -> None:
    assert short("orders.csv.gz") == "orders.csv.gz"
    made = short("\u00e9" * 200 + ".csv.gz")
    assert made.endswith("\u00e9.csv.gz")
    assert LONGEST_NAME - 1 <= len(made.encode()) <= LONGEST_NAME
    assert len(short("." + "x" * 300).encode()) == LONGEST_NAME
    assert is_name("a" * 255)
    assert not is_name("a" * 256)


def test_what_is_no_file_is_left_alone_and_said(here: World, tmp_path: Path) -> None:
    (inbox(here) / "gone.csv").symlink_to(tmp_path / "nowhere.csv")
    os.mkfifo(inbox(here) / "pipe.csv")
    (inbox(here) / "folder.csv").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        here_before = Path.cwd()
        os.chdir(inbox(here))  # the whole path may be too long for a socket
        try:
            sock.bind("sock.csv")
        finally:
            os.chdir(here_before)
    put(here, "good.csv", 3)

    made = intake(here)
    made.look()

    assert {taken.name: taken.fate for taken in made.taken} == {
        "good.csv": Fate.DELIVERED, "gone.csv": Fate.LEFT, "pipe.csv": Fate.LEFT, "sock.csv": Fate.LEFT,
    }  # fmt: skip
    notes = {taken.name: taken.note for taken in made.taken}
    assert "is a link" in notes["gone.csv"]
    assert "no file, but a pipe" in notes["pipe.csv"]


def test_a_name_that_is_not_utf8_is_said_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnicodeEncodeError) as raised:
        os.fsdecode(b"/tmp/\xee\xf2.csv").encode()

    assert failure.tell(raised.value) == 2
    assert "is not UTF-8; rename the file" in capsys.readouterr().err


class Server:
    """One file at an address, with what a server says of it."""

    def __init__(self, **headers: str) -> None:
        self.headers, self.content, self.answers = headers, b"", list[int]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
                same = (outer.headers.get("ETag"), None) == asked or (None, outer.headers.get("Last-Modified")) == asked
                status = 304 if same and any(asked) else 200
                outer.answers.append(status)
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"" if status == 304 else outer.content)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/list.csv"


@pytest.mark.parametrize(
    ("headers", "again"),
    [
        ({"ETag": '"1"'}, 304),
        ({"Last-Modified": formatdate(1_700_000_000, usegmt=True)}, 304),
        ({"Last-Modified": formatdate(4_000_000_000, usegmt=True)}, 200),  # a change within the second would be missed
        ({}, 200),
    ],
)
def test_a_file_at_an_address_that_has_not_changed_is_not_downloaded_again(
    here: World, headers: dict[str, str], again: int
) -> None:
    server = Server(**headers)
    server.content = w_file(3)
    try:
        assert look(here, server.url, inboxes=(server.url,)) == {"list.csv": Fate.DELIVERED}
        assert look(here, server.url, inboxes=(server.url,)) == {"list.csv": Fate.SKIPPED}
        assert server.answers == [200, again]

        server.content = w_file(5)
        server.headers = {"ETag": '"2"'}
        assert look(here, server.url, inboxes=(server.url,)) == {"list.csv": Fate.DELIVERED}
        assert look(here, server.url, inboxes=(server.url,)) == {"list.csv": Fate.SKIPPED}
        assert server.answers == [200, again, 200, 304]
        assert here.report()["arrivals"] == 8
    finally:
        server.server.shutdown()
        server.server.server_close()


def test_a_refused_file_at_an_address_is_downloaded_again_as_nothing_of_it_was_sent(here: World) -> None:
    server = Server(ETag='"1"')
    server.content = b"nothing,of,this\n1,2,3\n"
    try:
        for _ in range(2):
            assert look(here, server.url, inboxes=(server.url,)) == {"list.csv": Fate.REFUSED}
        assert server.answers == [200, 200]
    finally:
        server.server.shutdown()
        server.server.server_close()
