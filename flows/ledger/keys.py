"""Where the ledger keeps what, and how a row's record is packed.

rowrelay:version            the layout below, as a number
rowrelay:tide               hash: name of this ledger, and a count that only rises (flows.ledger.backup_guard)
rowrelay:runs               sorted set: run ids by time of creation
rowrelay:flows              hash: Prefect flow run id → run id (a resume is a flow run of its own)
rowrelay:totals             hash: "<kind>:<pipeline>" → how many requests were sent, rows and runs ended how, ever
rowrelay:content:<digest>   set: runs of files with this content
rowrelay:inbox:<pipeline>   hash: digest of a file's content → run that delivers it
  :ended                    hash: digest → what became of the file, JSON, once it was put away
  :looks                    hash: folder → when the last complete look through it began, Unix seconds
  :turn:<digest>            string that lapses: the process whose turn it is to look through the folder of that digest
rowrelay:scheduled:<pipe>   hash: digest of the parameters → when a scheduled delivery with them last began, and which
rowrelay:run:{<id>}         hash: what a run is, its counters, its epoch and lease
  :definition               the resolved pipeline definition, JSON, without secrets
  :rows:<n>                 hash: records of rows 100 n + 1 … 100 n + 100, by offset
  :detail:<n>               hash: reasons, excerpts and long answers of the same rows
  :is:<state>               bitmap by row - 1: rejected, accepted, done, failed, unknown
  :asked                    bitmap by row - 1: a person asked to send the row again, and that has not been done yet
  :parcels                  hash: "<epoch>:<serial>" of a claim → its rows, in order; none where it was of one row
  :steps                    hash: row → claim, whether a write was sent under it, and what its steps have kept
  :held                     hash: row → digest of the key that it holds while it is under way
  :sending                  sorted set: rows by the time at which their attempt can no longer be answered
  :seconds                  hash: "<unix second>:sent|done|failed|unknown|waiting" → count, the last quarter of an hour
  :minutes                  the same by minute, of the time before
  :paces                    hash: process → what it has sent of the run, and when, JSON (flows.delivery.summary)
  :events                   list: the last events in words, newest first
  :samples                  list: the first rejections
  :mends                    list: the documents by which rejected rows were mended, JSON (flows.ledger.mends)
  :refused                  bitmap by row - 1: what the check rejected, where rows were mended since
  :requests                 hash: resend request id → its number
  :flows                    list: Prefect flow runs that delivered it
rowrelay:keys:<pipeline>    hash: digest of a row's key → until when (ms) which row of which run is under way with it
rowrelay:deleted:<id>       string that lapses: when a run was deleted, Unix seconds, and by whom, JSON
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flows.records import RowState

VERSION = 1
PREFIX = "rowrelay:"
VERSION_KEY = PREFIX + "version"
TIDE = PREFIX + "tide"
RUNS = PREFIX + "runs"
FLOWS = PREFIX + "flows"
TOTALS = PREFIX + "totals"
DELETED_SECONDS = 400 * 86_400  # so long it is known that a run was deleted, and by whom
BLOCK = 100  # rows a hash: small enough to stay a listpack, 28 bytes a row instead of 68
INDEXED = (RowState.REJECTED, RowState.ACCEPTED, RowState.DONE, RowState.FAILED, RowState.UNKNOWN)
SINGLE = (
    "definition",
    "asked",
    "parcels",
    "steps",
    "held",
    "sending",
    "seconds",
    "minutes",
    "paces",
    "events",
    "samples",
    "mends",
    "refused",
    "requests",
    "flows",
)

_HEAD = struct.Struct(">BHIHHBI")
_CODES = (
    RowState.WAITING,
    RowState.SENDING,
    RowState.DONE,
    RowState.FAILED,
    RowState.UNKNOWN,
    RowState.REJECTED,
    RowState.ACCEPTED,
)
_DOUBT = 128  # added to the code of a state: an attempt may have been acted on, and nobody knows
_UNSTORABLE = (OverflowError, UnicodeEncodeError, RecursionError)  # numbers beyond 64 bits, half a surrogate pair
_ROOM = 40  # bytes of tail up to which answers stay in the record; longer ones would unfold the listpack


def run_key(run: str) -> str:
    """The hash of a run; every other key of it begins with this."""
    return f"{PREFIX}run:{{{run}}}"


def deleted_key(run: str) -> str:
    """When a run was deleted and by whom, for those who follow an old link."""
    return f"{PREFIX}deleted:{run}"


def content_key(digest: str) -> str:
    """The set of runs that had a file with this digest."""
    return f"{PREFIX}content:{digest}"


def inbox_key(pipeline: str) -> str:
    """Which run delivers which content of this pipeline's inboxes; the keys beside it begin with this."""
    return f"{PREFIX}inbox:{pipeline}"


def turn_key(pipeline: str, folder: str) -> str:
    """Whose turn it is to look through a folder."""
    return f"{inbox_key(pipeline)}:turn:{hashlib.sha256(folder.encode()).hexdigest()[:16]}"


def scheduled_key(pipeline: str) -> str:
    """When which scheduled deliveries of a pipeline began."""
    return f"{PREFIX}scheduled:{pipeline}"


def place(run: str, kind: str, row: int) -> tuple[str, int]:
    """Key and field of a row's record (`rows`) or detail (`detail`)."""
    return f"{run_key(run)}:{kind}:{(row - 1) // BLOCK}", (row - 1) % BLOCK


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows of one row. Times are Unix seconds."""

    row: int
    state: RowState
    attempts: int = 0
    generation: int = 0
    epoch: int = 0  # of the latest claim
    serial: int = 0  # the same
    doubtful: bool = False  # an attempt may have been acted on, and nobody knows
    at: float | None = None  # the latest claim, or the earliest next one while waiting
    status: int | None = None
    took_seconds: float | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    excerpt: str = ""


def pack(
    names: tuple[str, ...], *, status: int | None, took_seconds: float, kept: dict[str, Any], reason: str, excerpt: str
) -> tuple[bytes, bytes]:
    """An outcome as (tail of the record, detail). `names` are the kept fields in the definition's order."""
    values = [kept.get(name) for name in names] if kept else []
    short = [status, round(took_seconds * 1000), *values]
    try:
        tail = msgspec.msgpack.encode(short, enc_hook=str)
    except _UNSTORABLE:
        values = [storable(value) for value in values]
        tail = msgspec.msgpack.encode([*short[:2], *values], enc_hook=str)
    detail: dict[str, Any] = {}
    if len(tail) > _ROOM:
        tail, detail["k"] = msgspec.msgpack.encode(short[:2]), values
    if reason:
        detail["r"] = _text(reason)
    if excerpt:
        detail["e"] = _text(excerpt)
    return tail, msgspec.msgpack.encode(detail, enc_hook=str) if detail else b""


def storable(value: Any) -> Any:
    """A JSON value as msgpack can hold it: numbers that are too large for it, and what lies too deep, as text."""
    try:
        msgspec.msgpack.encode(value, enc_hook=str)
    except _UNSTORABLE:
        if isinstance(value, str):
            return _text(value)
        try:
            return json.dumps(value)
        except RecursionError:
            return "(nested too deeply to be kept)"
    return value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


STEPS = struct.Struct(">IIB")  # in front of what is kept of a row's steps: claim, and whether a write was sent under it


def claim_of(raw: bytes) -> str:
    """What the latest claim of a row is called in `:parcels`, from the row's record."""
    _, epoch, serial, *_ = _HEAD.unpack_from(raw)
    return f"{epoch}:{serial}"


def is_doubtful(raw: bytes) -> bool:
    """Whether a row may have been acted on and nobody knows, from its record."""
    return raw[0] >= _DOUBT or _CODES[raw[0] % _DOUBT] is RowState.UNKNOWN


def unpack(row: int, raw: bytes, detail: bytes | None, *, names: tuple[str, ...], created: float) -> Record:
    """A row's record from its two halves. `created` is when the run was, in Unix seconds."""
    code, epoch, serial, generation, _request, attempts, at = _HEAD.unpack_from(raw)
    short = msgspec.msgpack.decode(raw[_HEAD.size :]) if len(raw) > _HEAD.size else []
    extra = msgspec.msgpack.decode(detail) if detail else {}
    values = extra.get("k") or short[2:]
    return Record(
        row=row,
        state=_CODES[code % _DOUBT],
        attempts=attempts,
        generation=generation,
        epoch=epoch,
        serial=serial,
        doubtful=code >= _DOUBT,
        at=created + at / 100 if at else None,
        status=short[0] if short else None,
        took_seconds=short[1] / 1000 if len(short) > 1 else None,
        kept=dict(zip(names, values, strict=False)),
        reason=extra.get("r", ""),
        excerpt=extra.get("e", ""),
    )
