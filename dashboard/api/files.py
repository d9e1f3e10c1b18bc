"""Routes for files: upload as a stream, and what lies in the inbox."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request

from dashboard.api.schemas import UploadOut
from dashboard.connections import settings, view
from dashboard.files.inbox import newest
from dashboard.files.upload import keep, receive
from dashboard.run_list import sent_before
from flows.errors import RowrelayError

router = APIRouter(tags=["files"])


@router.put(
    "/files/{name}",
    status_code=201,
    response_model=UploadOut,
    openapi_extra={
        "requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def upload(name: str, request: Request) -> Any:
    """Upload a file as the plain body. `curl -T posts.csv …/api/files/posts.csv`; it is whole or it is not there."""
    announced = request.headers.get("content-length", "")
    here = settings()
    done = await receive(
        request.stream(),
        name,
        here.uploads,
        max_bytes=here.max_upload_bytes,
        announced=int(announced) if announced.isascii() and announced.isdecimal() else None,
    )
    await to_thread.run_sync(keep, done, here)
    same = await to_thread.run_sync(_same, done.sha256)
    return UploadOut(file=done.file, name=done.name, bytes=done.bytes, sha256=done.sha256, runs_with_same_content=same)


@router.get("/files")
def inbox(limit: Annotated[int, Query(ge=1, le=10_000)] = 200) -> list[dict[str, Any]]:
    """The newest files that lie in the inbox, newest first. Their `file` is what a run is started with."""
    return [
        {"file": each.name, "bytes": each.bytes, "modified": datetime.fromtimestamp(each.modified, UTC)}
        for each in newest(settings().inbox, limit).files
    ]


def _same(digest: str) -> list[str]:
    try:
        return [run.id for run in sent_before(view(), digest)]
    except RowrelayError:
        return []  # the upload is whole; the check will say it again
