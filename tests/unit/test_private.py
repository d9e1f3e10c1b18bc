"""Files that are there whole or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from flows.private import whole_file, write_whole


def test_a_file_takes_the_place_of_the_one_before_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_whole(path, b"first")

    with whole_file(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"

    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_whatever_ends_the_writing_early_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_whole(path, b"first")

    def write_half() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()

    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_for_its_owner_alone_is_that_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"for all")

    with whole_file(path, mode=0o600):
        (part,) = set(tmp_path.iterdir()) - {path}
        assert stat.S_IMODE(part.stat().st_mode) == 0o600

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
