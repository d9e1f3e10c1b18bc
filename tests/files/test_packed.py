"""Files that are packed: their rows are those of the plain file; what is not one packed file of rows is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import FileError
from flows.source.source import open_file
from flows.source.unpack import BLOCK, joined
from tests.files.test_fuzz import bounded, mutated
from tests.harness.bad_packed import PACKED_FILES
from tests.harness.packed import PACKED, zip_of_a_pipe, zipped

HEADER = b"userId,title,body\n"
PLAIN = HEADER + b"".join(b"%d,title %d,%s\n" % (row, row * 7919 % 10007, b"x" * (row % 50)) for row in range(40_000))
ROWS = 40_000
ARCHIVES: dict[str, Callable[[bytes], bytes]] = {
    **PACKED,
    "zip": lambda data: zipped({"rows.csv": data}),
    "stored": lambda data: zipped({"rows.csv": data}, packing=0),
    "pipe": zip_of_a_pipe,
    "beside": lambda data: zipped(
        {"data/": b"", "data/rows.csv": data, "__MACOSX/data/._rows.csv": b"x", ".DS_Store": b"x", "Thumbs.db": b"x"},
        comment=b"a comment " * 6000,
    ),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed") / "rows.csv"


def cells(path: Path, data: bytes) -> list[list[str]]:
    path.write_bytes(data)
    with open_file(path) as source:
        found = [record for frame in source.frames() for record in frame.cells]
        assert source.digest() == hashlib.sha256(data).hexdigest()
        assert source.bytes_done == source.bytes_total == len(data)
    return found


@pytest.mark.parametrize("way", ARCHIVES)
def test_a_packed_file_has_the_rows_of_the_plain_one(path: Path, way: str) -> None:
    packed = ARCHIVES[way](PLAIN)

    assert cells(path, packed) == cells(path, PLAIN)


@pytest.mark.parametrize("way", PACKED)
def test_the_parts_of_a_packed_file_are_joined(path: Path, way: str) -> None:
    parts = [PLAIN[at : at + 70_000] for at in range(0, len(PLAIN), 70_000)]

    assert cells(path, b"".join(PACKED[way](part) for part in parts)) == cells(path, PLAIN)


@pytest.mark.parametrize("way", ["gz", "bz2", "xz"])
def test_zeros_behind_the_parts_are_padding(path: Path, way: str) -> None:
    packed = PACKED[way](PLAIN[:5000]) + bytes(512) + PACKED[way](PLAIN[5000:]) + bytes(70_000)

    assert len(cells(path, packed)) == ROWS


def test_frames_of_zstandard_that_hold_no_data_are_passed_over(path: Path) -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"

    assert len(cells(path, skipped + PACKED["zst"](PLAIN) + skipped)) == ROWS


@pytest.mark.parametrize("way", ["gz", "bz2", "xz", "zst", "zip"])
def test_what_unpacks_without_measure_is_refused(path: Path, way: str) -> None:
    path.write_bytes(ARCHIVES[way](HEADER + (b"1,a," + b"b" * 20_000 + b"\n") * 3600))

    with (
        pytest.raises(FileError, match=r"unpacks to more than (250|2,000) times its size") as refusal,
        open_file(path) as source,
    ):
        list(source.frames())
    assert refusal.value.hint == "If it is meant to be so, unpack it first."


@pytest.mark.parametrize("way", ["gz", "bz2", "xz", "zst", "zip"])
def test_the_most_that_is_allowed_counts_unpacked(path: Path, way: str) -> None:
    path.write_bytes(ARCHIVES[way](PLAIN))

    with (
        pytest.raises(FileError, match="holds more than the 200,000 bytes that are allowed"),
        open_file(path, max_bytes=200_000) as source,
    ):
        list(source.frames())


@pytest.mark.parametrize(("name", "data", "message"), PACKED_FILES, ids=[name for name, *_ in PACKED_FILES])
def test_what_is_not_one_packed_file_of_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes | Callable[[], bytes], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(data() if callable(data) else data)

    with pytest.raises(FileError) as refusal, open_file(name) as source:
        list(source.frames())

    assert str(refusal.value) == message


def test_tiny_blocks_are_joined_and_nothing_is_lost() -> None:
    def blocks() -> Iterator[bytes]:
        yield from (b"ab" * at for at in range(2000))

    together = list(joined(blocks()))

    assert b"".join(together) == b"".join(blocks())
    assert all(BLOCK // 2 <= len(block) < BLOCK for block in together[:-1])


small = HEADER + b"1,a,b\n2,c,d\n"
cuts = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 20), st.binary(max_size=8) | st.sampled_from([b"\0", b"\xff" * 4])),
    min_size=1,
    max_size=4,
)


@bounded(600)
@given(st.sampled_from(sorted(ARCHIVES)), cuts)
def test_a_packed_file_with_any_damage_is_rows_or_a_refusal(
    path: Path, way: str, damage: list[tuple[int, int, bytes]]
) -> None:
    path.write_bytes(mutated(ARCHIVES[way](small), damage))

    try:
        with open_file(path) as source:
            list(source.frames())
    except FileError as refusal:
        said = str(refusal)
    else:
        return
    assert said.startswith(str(path))
