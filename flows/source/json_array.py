"""JSON: a list of objects, the file itself or somewhere in it, or one object as the only row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain, islice

from flows.errors import FileError
from flows.origin import Origin
from flows.pipeline.file_form import FileForm, option
from flows.source.body import Body
from flows.source.content import MARK, Noticed
from flows.source.encoding import Refuse, decode, find
from flows.source.json_records import FIRST, Raw, Records
from flows.source.json_walk import Items, Walk
from flows.source.quoting import MAX_CELL, Batch
from flows.source.table import Spelling


class JsonArray:
    """A JSON file as a flows.source.table.Table: its only list of objects, or the one at the path that is stated.

    An object without such a list is one row. An item that is no object is a rejection. Raises FileError where the file
    is no JSON, or where it is not certain which list is meant.
    """

    kind, delimiter, header_row = "json", "", 0

    def __init__(self, body: Body, form: FileForm, wanted: Iterable[str], noticed: Noticed) -> None:
        self.form = form
        self._refuse, self._asked = body.refuse, form.path or None
        found = find(body.head, form.encoding, body.refuse)
        self.encoding = found.name
        begun = _Begun(_without_mark(decode(body.blocks(), found, body.refuse)))
        self._walk = Walk(begun, body.refuse)
        self._lists = self._walk.lists(self._asked)
        path = next(self._lists, None)
        begun.over = True
        self._path, self.origin = path or "", Origin(kind="json", path=path or "")
        self._items, self._first = self._walk.items(), list[Items]()
        if path is None:
            self._items = iter([Items("", None, [self._one(begun)])])
            noticed.said.append("the file is one object, which is read as one row")
        elif path and self._asked is None:
            noticed.said.append(f"the rows are those of the list {path}; what stands around it was passed over")
        raws: list[str] = []
        while len(raws) < FIRST and (items := next(self._items, None)):
            self._first.append(items)
            raws += items.each()
        if not raws:
            raise self._refuse(f"has no rows: the list{_at(self._path)} is empty")
        self.records = Records(enumerate(raws[:FIRST], 1), wanted, noticed, body.refuse)
        self.names, self.samples = self.records.names, self.records.samples

    def batches(self, spellings: Sequence[Spelling]) -> Iterator[Batch]:
        """The records. Raises FileError where the file is no JSON, is cut off, or has another such list."""
        self.records.ready(spellings)
        row = 1
        for items in chain(self._first, self._items):
            batch = self._batch(items, row)
            row += len(batch.lines)
            yield batch
        if others := list(islice(self._lists, 20)):
            paths, one = ", ".join(path or "the file itself" for path in (self._path, *others)), self._path or others[0]
            raise self._refuse(
                f"has more than one list of objects: {paths}",
                hint=f"Say which one: {option('path', one)}.",
            )
        self.records.end()

    @property
    def unmet(self) -> Set[str]:
        """The columns that are expected, and that no record has had yet."""
        return self.records.unmet

    def expect(self, names: Sequence[str]) -> None:
        """Look for these, too: a record may have them that comes later."""
        self.records.expect(names)

    def close(self) -> None:
        """Nothing was taken beside the file."""

    def _batch(self, items: Items, row: int) -> Batch:
        def raws() -> Iterator[Raw]:
            return enumerate(items.each(), row)

        count = len(items.decoded) if items.decoded is not None else 0
        return self.records.batch(
            (items.text or "".join(items.raws)).encode(), items.decoded, range(row, row + count), raws
        )

    def _one(self, begun: _Begun) -> str:
        """The text of the file, which is one object."""
        if self._asked is not None:
            raise self._refuse(f"has no list{_at(self._asked)}", hint="Leave path out, or mend it.")
        text = begun.text.strip()
        if not text.startswith("{"):
            raise self._refuse("is JSON without a list of objects", hint=_LIST)
        if len(text) > MAX_CELL:
            raise self._refuse(f"is one object of more than {MAX_CELL:,} characters", hint=_LIST)
        return text


class _Begun(Iterator[str]):
    """The text of a file, of which as much is kept as a record may have, until the walk is `over`."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks, self.text, self.over = blocks, "", False

    def __next__(self) -> str:
        block = next(self._blocks)
        if not self.over and len(self.text) <= MAX_CELL:
            self.text += block
        return block


_LIST = "Each row must be an object in a list: [{…}, {…}]."


def lists_in(head: bytes, encoding: str | None, refuse: Refuse) -> tuple[str, ...]:
    """The paths of the lists of objects that begin in the first bytes of a file."""
    found: list[str] = []
    with suppress(FileError):  # mostly they are cut off
        text = decode(iter([head]), find(head, encoding, refuse), refuse)
        for path in Walk(_without_mark(text), refuse).lists(None):
            found.append(path)
    return tuple(dict.fromkeys(path for path in found if path))


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _without_mark(blocks: Iterator[str]) -> Iterator[str]:
    yield next(blocks, "").lstrip(MARK)
    yield from blocks
