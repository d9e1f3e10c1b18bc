"""One file at an http(s) address, which is downloaded when it may have changed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from flows import logs
from flows.errors import StorageError
from flows.intake.incoming import BLOCK, NO_SECRETS, Incoming, as_json, masked, pour, short, too_large
from flows.ledger.inbox import Version
from flows.masking import Masker
from flows.private import whole_file, write_whole
from flows.storage.storage import reached

DOWNLOAD_SECONDS = 60.0  # without a byte


class Web:
    """One file at an address. It cannot be moved, so its reports go to the pipeline's inbox folder."""

    def __init__(self, url: str, folder: Path, *, address: str = "", mask: Masker = NO_SECRETS) -> None:
        logs.hush()
        self.url = url
        self._address = address or url
        self._mask = mask
        self._reports = folder
        self.odd: dict[str, str] = {}
        self.known: Version | None = None
        self.version: Version | None = None

    def incoming(self) -> list[Incoming]:
        """The file, if the address answers; its content decides whether it is new."""
        name = Path(urlsplit(self.url).path).name or "download.csv"
        return [Incoming(name, self.url, -1, time.time(), 0.0, self.url, whole=True)]

    def copy(self, incoming: Incoming, to: Path, *, max_bytes: int) -> str:
        """Download it, or leave that where the server says that it is still what is `known`."""
        digest, known = hashlib.sha256(), self.known
        asks: dict[str, str] = known.asks if known else {}
        try:
            with (
                masked(self._mask),
                httpx.stream(
                    "GET", self._address, headers=asks, timeout=DOWNLOAD_SECONDS, follow_redirects=False
                ) as answer,
            ):
                if known and asks and answer.status_code == 304:
                    return known.digest
                if answer.status_code != 200:
                    to_there = f" and leads to {answer.headers['location']}" if "location" in answer.headers else ""
                    raise StorageError(f"answered {answer.status_code}{to_there}", file=self.url)
                announced = answer.headers.get("content-length", "")
                if announced.isdecimal() and int(announced) > max_bytes:
                    raise too_large(self.url, max_bytes)
                pour(answer.iter_bytes(BLOCK), to, digest, max_bytes, self.url)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            why = self._mask.text(str(exc)) or type(exc).__name__
            raise StorageError(f"could not be downloaded: {why}", file=self.url) from None
        self.version = _version(answer.headers, digest.hexdigest())
        return digest.hexdigest()

    def put_away(
        self, incoming: Incoming, where: str, *, report: dict[str, Any], troubled: Iterable[bytes] | None
    ) -> str:
        """Write the reports; nothing is written for content that was seen before."""
        if "skipped" in report:
            return self.url
        folder = self._reports / where
        stem = short(incoming.name) + (f".{str(report['run'])[:8]}" if report.get("run") else "")
        with reached(str(folder), "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            if troubled is not None:
                with whole_file(folder / f"{stem}.troubled.csv") as file:
                    file.writelines(troubled)
            write_whole(folder / f"{stem}.report.json", as_json(report))
        return self.url


def _version(headers: httpx.Headers, digest: str) -> Version:
    """A time tells changes apart only if it was over when the answer was given: it knows no less than seconds."""
    etag, modified = headers.get("etag", ""), headers.get("last-modified", "")
    try:
        over = parsedate_to_datetime(headers["date"]) - parsedate_to_datetime(modified) > timedelta(seconds=2)
    except (KeyError, ValueError, TypeError):
        over = False
    return Version(digest, etag, modified if over else "")
