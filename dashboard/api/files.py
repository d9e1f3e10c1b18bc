"""Routes for files: upload as a stream, and what lies in the inbox."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from dashboard.api.envelope import Cursor, cursor_of, place_of
from dashboard.api.problems import NotValid, raises
from dashboard.api.request import say_where
from dashboard.api.schemas import File, FilePage, Uploaded
from dashboard.api.schemas_look import Look, LookAt
from dashboard.connections import pipelines, settings, view
from dashboard.files import inbox
from dashboard.files.upload import Incomplete, TooLarge, keep, receive
from dashboard.refusals import NotFound
from dashboard.run_list import sent_before
from flows.errors import DefinitionError, FileError, RowrelayError, StorageError
from flows.pipeline.file_form import AS_FOUND
from flows.pipeline.pipelines import pick
from flows.settings import Settings
from flows.source.header import Called
from flows.source.preview import look
from flows.storage.access import resolve
from flows.storage.located import find, opened, stored
from flows.storage.storage import is_local, scratch

router = APIRouter(tags=["files"])
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.put("/files/{file}", status_code=201, openapi_extra={"requestBody": {"content": _BINARY, "required": True}})
@raises(FileError, Incomplete, TooLarge, StorageError)
async def upload_file(file: str, request: Request, response: Response) -> Uploaded:
    """Upload a file as the plain body. `curl -T posts.csv …/api/files/posts.csv`; it is whole or it is not there.

    Each upload is a file of its own, also under a name that was used before: Location says where it is.
    """
    announced = request.headers.get("content-length", "")
    here = settings()
    done = await receive(
        request.stream(),
        file,
        here.uploads,
        max_bytes=here.max_upload_bytes,
        announced=int(announced) if announced.isascii() and announced.isdecimal() else None,
    )
    await to_thread.run_sync(keep, done, here)
    same = await to_thread.run_sync(_same, done.sha256)
    say_where(request, response, f"/files/{quote(done.file)}")
    return Uploaded(file=done.file, name=done.name, bytes=done.bytes, sha256=done.sha256, runs_with_same_content=same)


@router.get("/files")
@raises(NotValid)
def list_files(cursor: Cursor = "", limit: Annotated[int, Query(ge=1, le=10_000)] = 200) -> FilePage:
    """The files that lie in the inbox, newest first. Their `file` is what a run is started with."""
    found = inbox.newest(settings().inbox, limit, after=place_of(cursor, tuple[float, str]))
    last = found.files[-1] if found.more else None
    return FilePage(
        items=[
            File(
                file=each.name,
                name=each.name.rpartition("/")[2],
                bytes=each.bytes,
                modified=datetime.fromtimestamp(each.modified, UTC),
            )
            for each in found.files
        ],
        next=cursor_of(last.modified, last.name) if last else None,
    )


@router.get("/files/{file:path}")
@raises(NotFound, StorageError, NotValid)
def get_file(file: str) -> File:
    """One file, by what a run names it: an upload, or a file of the inbox."""
    here = settings()
    try:
        find(file, here, "")
        about = _about(file, here)
    except StorageError:
        raise
    except FileError as exc:
        raise NotFound(exc.message, hint=exc.hint) from exc
    return File(
        file=file,
        name=PurePosixPath(file).name,
        bytes=about.st_size if about else None,
        modified=datetime.fromtimestamp(about.st_mtime, UTC) if about else None,
    )


@router.post("/look")
@raises(NotFound, DefinitionError, StorageError)
def look_at_file(body: LookAt) -> Look:
    """The first rows of a file, read as is said: to find out how it is to be read, before a run is started with it.

    What cannot be read so is told in `problem`, with what there is to choose from.
    """
    here = settings()
    definition = pick(pipelines(), body.pipeline) if body.pipeline else None
    form = (definition.source if definition else AS_FOUND).but(body.source)
    wanted = Called.of(definition).names(definition.column_names) if definition else ()
    try:
        with opened(body.file, here, definition) as path, scratch(here.data) as folder:
            found = look(path, form, wanted=wanted, max_bytes=here.max_upload_bytes, scratch=folder)
    except StorageError:
        raise
    except FileError as exc:
        raise NotFound(exc.message, hint=exc.hint) from exc
    return Look.of(found)


def _about(file: str, here: Settings) -> os.stat_result | None:
    """None for a file of an object store."""
    if not is_local(here.uploads_url) and stored(here).exists(file):
        return None
    return resolve(file, (here.uploads, here.inbox, *here.folders)).stat()


def _same(digest: str) -> list[str]:
    try:
        return [run.id for run in sent_before(view(), digest)]
    except RowrelayError:
        return []  # the upload is whole; the check will say it again
