"""The corpus as a table: `python -m tests.files.corpus`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.files.test_corpus import SHAPES, became, checked, is_meant, proposed


def main() -> None:
    """Print one line a file, and the sums."""
    print("| file | what has to be said | rows as meant | columns: as written, as called |\n|---|---|---|---|")
    sums = [0, 0, 0, 0, 0]
    for shape in SHAPES:
        with TemporaryDirectory() as folder:
            found = became(checked(Path(folder), shape, **shape.says))
            good = sum(map(is_meant, found, shape.rows)) if len(found) == len(shape.rows) else 0
            rules, called = proposed(Path(folder), shape) if set(shape.says) <= {"encoding"} else ([], [])
        says = ", ".join(f"{key}: {value}" for key, value in shape.says.items())
        columns = len(shape.columns) if set(shape.says) <= {"encoding"} else 0
        told = f"{len(rules)}, {len(called)} of {columns}" if columns else "after that"
        print(f"| {shape.what} (`{shape.file}`) | {says or 'nothing'} | {good} of {len(shape.rows)} | {told} |")
        figures = good, len(shape.rows), len(rules), len(called), columns
        sums = [before + more for before, more in zip(sums, figures, strict=True)]
    good, rows, as_written, as_called, columns = sums
    print(f"\n{len(SHAPES)} files: {good} of {rows} rows as meant.")
    for what, count in (("as they are written", as_written), ("by name", as_called)):
        print(f"Of {columns} columns {count} proposed right {what} ({count / columns:.1%}).")


if __name__ == "__main__":
    main()
