"""Faults of what reads files of every kind, and of what mends and undoes the rows of a run."""

from __future__ import annotations

from tests.mutants.fault import of

SHEETS = ("files/test_sheets.py",)
SPELLING = ("files/test_spelling.py", "files/test_sheets.py")
COLUMNS = ("files/test_parquet.py", "files/test_json.py")
PACKED = ("files/test_packed.py",)
FORM = ("files/test_sheets.py", "files/test_check.py")
MENDING = ("delivery/test_mending.py",)
UNDOING = ("delivery/test_undoing.py",)

FILES = [
    *of(
        "flows/source/workbook/sheet_values.py",
        SHEETS,
        ("an id of which digits are gone is read", "            return value  # digits that no", "            pass  #"),
        ("sixteen digits are read as they stand", 'return f"{value:.14E}"', "return value"),
        ("numbers have a binary tail", 'return _without_zeros(Decimal(f"{value:.{DIGITS}g}"))', "return value"),
        (
            "leading zeros are lost",
            "return f\"zeros:{len(zeros['zeros'])}:{_bare(zeros['before'])}\"",
            'return ""',
        ),
        ("words in a format make dates", '_LITERAL.sub("", code.partition(";")[0])', 'code.partition(";")[0]'),
        (
            "all workbooks count from 1900",
            "datetime(1904, 1, 1) if since_1904 else",
            "datetime(1899, 12, 30) if since_1904 else",
        ),
        ("a day that never was is one", "(lost and days in (0, _DAYS_1900))", "(lost and days == 0)"),
    ),
    *of(
        "flows/source/workbook/sheet_choice.py",
        SHEETS,
        ("the first of several sheets is read", "if len(full) > 1:", "if len(full) > 99:"),
        ("hidden sheets are read", "enumerate(sheets) if visible]", "enumerate(sheets)]"),
    ),
    *of(
        "flows/source/workbook/sheet_xml.py",
        SHEETS,
        ("nobody hears of hidden rows", "        if hidden:\n", "        if hidden and number < 0:\n"),
        ("a formula without a value is nought", '[NOT_KEPT if text == "0" else reader[text]', "[reader[text]"),
    ),
    *of(
        "flows/source/footer.py",
        SHEETS,
        ("blank rows are a footer", "if any(cell.strip() for cell in batch.cells[at]):", "if batch.cells[at]:"),
        ("a footer has one row more", "            if count == 0:\n", "            if count < 0:\n"),
    ),
    *of(
        "flows/source/spelling.py",
        SPELLING,
        (
            "any time of a day is that day",
            "value.tzinfo is None and value.time() == _MIDNIGHT:",
            "value.tzinfo is None:",
        ),
        ("what reads as another value is written", "if as_text(found) == as_text(fitted):", "if each:"),
        (
            "a map of another value decides",
            "        if text in table:\n            raise",
            "        if not table:\n            raise",
        ),
        (
            "a text of JSON is what it says",
            'quoted = nested and kind == "json" and column.table is None',
            "quoted = False",
        ),
    ),
    *of(
        "flows/source/spelled_columns.py",
        COLUMNS,
        (
            "floats are written as Arrow does",
            "if pc.any(pc.match_substring_regex(made, _ODD_FLOAT)).as_py():",
            "if False:",
        ),
        (
            "a fault beside an empty cell is another row's",
            "_add(faults, places[at], more)",
            "_add(faults, at, more)",
        ),
        (
            "days of no calendar are read",
            "return None if pc.any(pc.match_substring_regex(made, _ODD_DAY)).as_py() else made",
            "return made",
        ),
    ),
    *of(
        "flows/source/rawfile.py",
        PACKED,
        ("unpacked to any size", "if total > RATIO_FROM and total > ratio * self.bytes_done:", "if total < 0:"),
        (
            "the most that is allowed counts packed",
            "if total > self.max_bytes:",
            "if self.bytes_done > self.max_bytes:",
        ),
    ),
    *of(
        "flows/source/unpack.py",
        PACKED,
        (
            "an archive's checksum is not looked at",
            "if (checksum, length) != (entry.checksum, entry.length) or not",
            "if not",
        ),
        (
            "data behind a packed part is left out",
            "            if not packed.begins_with(mark):\n                raise",
            "            if not packed.begins_with(mark):\n                return\n                raise",
        ),
    ),
    *of(
        "flows/pipeline/file_form.py",
        FORM,
        (
            "the definition outranks what is asked for",
            "return self.model_copy(update=said.stated) if said is not None else self",
            "return said.model_copy(update=self.stated) if said is not None else self",
        ),
        (
            "our own files are read as those of others",
            "return self.model_copy(update=dict.fromkeys(others))",
            "return self",
        ),
        (
            "what means nothing is not said",
            "kind not in kinds and _says(key, found))",
            "kind in kinds and _says(key, found))",
        ),
    ),
    *of(
        "flows/delivery/mending.py",
        MENDING,
        ("rows of a run that was sent are mended", "    if run.any_sent:\n", "    if False:\n"),
        (
            "who looked too early takes the last document back",
            "    before = view.mends(run.id)\n    run = view.run(run.id)",
            "    before = view.mends(run.id)\n    #",
        ),
        ("a run that was stopped is mended", "    if run.state is not RunState.CHECKING:\n", "    if False:\n"),
        ("any document is taken back", "if not left or left[-1].number != number:", "if not left:"),
        (
            "what is taken back stays mended",
            "            bits[each.row - 1] = True\n            if len",
            "            if len",
        ),
        (
            "a mending that failed leaves its rows",
            "            spool.forget(manifest)\n            raise",
            "            raise",
        ),
        ("only the last document counts", "run.facts.mended_rows + done.accepted", "done.accepted"),
        (
            "mended rows are sent though they were before",
            "            delivered.take(view, settings.spool_url, definition.name, but=run.id)\n",
            "",
        ),
    ),
    *of(
        "flows/delivery/recheck.py",
        MENDING,
        ("values are unique among mended rows only", "        if clashes:  #", "        if False:  #"),
        (
            "what is asked about is let through",
            "for at, each in enumerate(anew) if each.reasons}:",
            "for at, each in enumerate(anew) if each.row < 0}:",
        ),
        ("rows that pass stay rejected", "        self.bits[[anew[at].row - 1 for at in good.tolist()]] = False\n", ""),
    ),
    *of(
        "flows/delivery/undoing.py",
        UNDOING,
        ("a path without its id is asked for", "value.strip() in _NO_PART)", "value in ())"),
        (
            "rows that are not done are undone",
            "if record is None or record.state is not RowState.DONE:",
            "if record is None:",
        ),
        (
            "rows are undone twice",
            'return next(lacks, "") or self._before.words(values[self._number])',
            'return next(lacks, "")',
        ),
        ("what was sent elsewhere is undone here", "if host_of(definition) != host_of(own) and", "if False and"),
        ("truths are kept as numbers", '        return "bool"\n', '        return "int"\n'),
    ),
]
