"""`rowrelay auth`: connects a pipeline to its account, with what the person has, and says until when that lasts."""

from __future__ import annotations

import getpass
import html
import queue
import secrets
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from deployments.commands.session import err, out
from deployments.commands.showing import print_json
from flows.credentials.account import Account, Standing
from flows.credentials.connecting import Consent, NotAllowed
from flows.delivery.demand import Demand
from flows.errors import RowrelayError
from flows.ledger.connection import connect, verify
from flows.pipeline.pipelines import pick, present
from flows.settings import Settings

_WAIT_SECONDS = 600.0
_READ_SECONDS = 10.0
_MOST_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class How:
    """What the person wishes. `refresh_token`: a file, or - for standard input."""

    again: bool = False
    refresh_token: str | None = None
    port: int = 0
    browser: bool = True
    forget: bool = False


def auth(pipeline: str, how: How, *, as_json: bool) -> int:
    """Connect it, and say how it stands; the exit code."""
    from deployments.embedded import stack

    settings = Settings.read()
    definition = pick(present(settings), pipeline)
    if definition.auth is not None and definition.auth.oauth2 is None:
        return _lasting(pipeline, definition.auth.words, as_json=as_json)
    with stack.use(settings, prefect=False) as addresses:
        client = connect(addresses.redis_url)
        try:
            verify(client)
            account = Account(
                definition, settings, addresses.redis_url, client, places=Demand.of(definition).places([])
            )
            if how.forget:
                return _forgotten(account, as_json=as_json)
            _begin(account, how)
            return _told(account.ready(), as_json=as_json)
        finally:
            client.close()


def _lasting(pipeline: str, words: str, *, as_json: bool) -> int:
    if as_json:
        print_json({"pipeline": pipeline, "auth": words, "connected": True, "expires": None})
    else:
        out.print(f"Pipeline {pipeline} is let in by {words}: there is no token to fetch.", markup=False)
    return 0


def _forgotten(account: Account, *, as_json: bool) -> int:
    was_there = account.forget()
    if as_json:
        print_json({"pipeline": account.definition.name, "forgotten": was_there})
    else:
        out.print("Its token is forgotten." if was_there else "No token of it was stored.", markup=False)
    return 0


def _told(standing: Standing, *, as_json: bool) -> int:
    moment = datetime.fromtimestamp(standing.expires, UTC) if standing.expires is not None else None
    if as_json:
        expires = moment.isoformat(timespec="seconds") if moment else None
        print_json(asdict(standing) | {"expires": expires})
        return 0
    until = f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""
    words = standing.words(now=time.time(), until=until)
    out.print(f"Pipeline {standing.pipeline} is connected. {words}", markup=False)
    return 0


def _begin(account: Account, how: How) -> None:
    """Have a refresh token to go on with, where one is needed."""
    oauth2 = account.oauth2
    if oauth2.grant != "refresh_token":
        if how.refresh_token is not None:
            raise RowrelayError(f"The grant {oauth2.grant} has no refresh token.", hint="Leave --refresh-token out.")
        if how.again:
            account.forget()
        return
    if how.refresh_token is not None:
        account.begin(_read(how.refresh_token))
        return
    standing = account.standing()
    if not how.again and standing.well:
        return
    if oauth2.authorize_url is not None:
        _by_browser(account, how)
        return
    if oauth2.refresh_token is not None and not standing.trouble and not how.again:
        return
    if not sys.stdin.isatty():
        raise NotAllowed(
            "There is no refresh token to go on with.",
            hint="Hand one in by --refresh-token FILE, or state authorize_url under auth.oauth2.",
        )
    account.begin(_checked(getpass.getpass("Refresh token (it is not shown): ")))


def _read(name: str) -> str:
    text = sys.stdin.read(_MOST_CHARACTERS) if name == "-" else Path(name).read_text(encoding="utf-8")
    return _checked(text)


def _checked(text: str) -> str:
    token = text.strip()
    if not token or any(char.isspace() for char in token):
        raise NotAllowed("That is no refresh token.", hint="It is one word, as the API gave it out.")
    return token


def _by_browser(account: Account, how: How) -> None:
    """Let the person allow it, and take what comes back, by the redirect or pasted."""
    came: queue.Queue[str] = queue.Queue()
    state = secrets.token_urlsafe(24)
    with _listening(how.port, came, state) as port:
        redirect = f"http://127.0.0.1:{port}/callback"
        consent = Consent(redirect, state=state, verifier=secrets.token_urlsafe(48))
        address = consent.address(account.oauth2, account.secrets)
        err.print("Open this address and allow it:", markup=False)
        err.print(address, markup=False)
        err.print(
            f"It comes back to {redirect}. Else paste here the address that the browser was sent to.", markup=False
        )
        if how.browser:
            webbrowser.open(address)
        threading.Thread(target=_pasted, args=(came,), daemon=True).start()
        try:
            found = came.get(timeout=_WAIT_SECONDS)
        except queue.Empty:
            raise NotAllowed("Nobody has allowed it within ten minutes.", hint="Begin again.") from None
        account.exchange(consent, consent.code(found))


def _pasted(came: queue.Queue[str]) -> None:
    for line in sys.stdin:
        if line.strip():
            came.put(line)
            return


@contextmanager
def _listening(port: int, came: queue.Queue[str], state: str) -> Iterator[int]:
    """A server on this machine alone, for the one redirect that knows `state`. Raises NotAllowed for a taken port.

    Browsers open connections on which they say nothing: each has a thread, and its time.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _READ_SECONDS

        def do_GET(self) -> None:
            called = self.path.startswith("/callback?")
            mine = called and parse_qs(urlsplit(self.path).query).get("state") == [state]
            text = "You may close this page, and go back to the terminal." if mine else "There is nothing here."
            text = "This belongs to another try. Open the newest address." if called and not mine else text
            content = f"<!DOCTYPE html><title>Rowrelay</title><p>{html.escape(text)}".encode()
            self.send_response(200 if mine else 400 if called else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            if mine:
                came.put(f"http://127.0.0.1{self.path}")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the address holds the code."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads, server.block_on_close = True, False
    except OSError as exc:
        raise NotAllowed(f"Port {port} cannot be used: {exc.strerror}.", hint="Give another one by --port.") from exc
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
