"""Which files a run may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.errors import FileError
from flows.settings import Settings
from flows.storage.access import resolve
from flows.storage.located import find


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    uploads, inbox = tmp_path / "uploads", tmp_path / "inbox"
    for folder in (uploads, inbox):
        folder.mkdir()
    (uploads / "a.csv").write_text("x")
    (inbox / "b.csv").write_text("x")
    (tmp_path / "secret.csv").write_text("x")
    (uploads / "out.csv").symlink_to(tmp_path / "secret.csv")
    (uploads / "fine.csv").symlink_to(inbox / "b.csv")
    (uploads / "folder").symlink_to(tmp_path)
    return uploads, inbox


@pytest.mark.parametrize("name", ["a.csv", "b.csv", "fine.csv", "./a.csv"])
def test_files_below_the_folders_are_found_by_name(folders: tuple[Path, Path], name: str) -> None:
    assert resolve(name, folders).is_file()


def test_a_whole_path_below_a_folder_will_do(folders: tuple[Path, Path]) -> None:
    assert resolve(str(folders[0] / "a.csv"), folders) == (folders[0] / "a.csv").resolve()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.csv", "outside"),
        ("../uploads/../secret.csv", "outside"),
        ("out.csv", "outside"),
        ("folder/secret.csv", "outside"),
        ("/etc/passwd", "outside"),
        ("", "is no name"),
        ("a\ncsv", "is no name"),
        ("a\x00.csv", "is no name"),
        ("x" * 2000, "is no name"),
        ("missing.csv", "no such file"),
        (".", "outside"),
        ("..", "outside"),
    ],
)
def test_everything_else_is_refused(folders: tuple[Path, Path], name: str, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        resolve(name, folders)
    assert "secret.csv" not in str(caught.value) or "secret.csv" in name


def test_a_file_in_the_pipelines_own_inbox_is_found_by_its_bare_name_and_others_hear_where_was_looked(
    tmp_path: Path,
) -> None:
    settings = Settings(data=tmp_path, redis_url=None)
    (settings.inbox / "posts").mkdir(parents=True)
    (settings.inbox / "posts" / "ui.csv").write_text("x")

    find("ui.csv", settings, "posts")

    with pytest.raises(FileError, match="no such file") as caught:
        find("ui.csv", settings, "other")
    assert "It was looked for in uploads, inbox/other and inbox of the data folder." in caught.value.hint
