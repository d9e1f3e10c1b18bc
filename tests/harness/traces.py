"""Everything that a stack keeps, to be searched: Redis by its keys, files unpacked, databases by their rows."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis


def in_redis(url: str) -> Iterator[tuple[str, bytes]]:
    """Every key and value."""
    with redis.Redis.from_url(url) as client:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"stream": client.xrange,
        }
        for key in client.scan_iter(count=1000):
            yield f"redis {key!r}", key + b" " + b" ".join(_flat(read[client.type(key)](key)))


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple | set):
        for each in value:
            yield from _flat(each)
    else:
        yield value if isinstance(value, bytes) else repr(value).encode()


def in_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, packed ones unpacked, databases by their rows."""
    for path in sorted(folder.rglob("*")):
        try:
            raw = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        yield str(path), path.name.encode() + raw
        if raw.startswith(b"\x1f\x8b"):
            yield str(path), gzip.decompress(raw)
        elif raw.startswith(b"PAR1"):
            yield str(path), json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
        elif raw.startswith(b"SQLite format 3"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                yield str(path), "\n".join(database.iterdump()).encode()
