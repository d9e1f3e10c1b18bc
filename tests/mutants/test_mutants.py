"""The faults of tests/mutants fit the code, and none is said to be caught that is not. `make mutants` tries them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, Trial
from tests.mutants.faults import ALL, Fault


def fits(fault: Fault) -> bool:
    return (
        (ROOT / fault.path).read_text(encoding="utf-8").count(fault.old) == 1
        and fault.old != fault.new
        and all((ROOT / "tests" / name).exists() for name in fault.tests)
    )


def test_every_fault_can_still_be_put_in() -> None:
    assert [fault.name for fault in ALL if not fits(fault)] == []


def test_no_two_faults_are_called_alike() -> None:
    assert len({fault.name for fault in ALL}) == len(ALL) >= 60


TESTS = """
from flows import double

met = []

def test_double():
    met.append(1)
    assert double(2) == 4

def test_what_only_fails_behind_others():
    assert double(1) == 2 or not met

def test_what_always_fails():
    assert double(3) == 7
"""
CONF = """
from hypothesis import settings

settings.register_profile("unshrunk")
"""


@pytest.mark.slow
def test_caught_is_what_fails_a_test_by_itself_that_passes_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "clean"
    files = {
        "flows/__init__.py": "def double(x):\n    return 2 * x\n",
        "tests/conftest.py": CONF,
        "tests/test_it.py": TESTS,
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)

    def fault(name: str, new: str) -> Fault:
        return Fault(name, "flows/__init__.py", "2 * x", new, ("test_it.py",))

    each, behind, same, seldom = (f"test_it.py::test_{name}" for name in (
        "double", "what_only_fails_behind_others", "what_always_fails", "gone"
    ))  # fmt: skip
    caught: dict[str, str] = {}
    with closing(Trial(tree, 1, lambda fault, by: caught.update({fault.name: by}))) as trial:
        assert trial.passing([each, behind, same, seldom]) == {each, behind}
        trial.caught(
            [
                (fault("noted", "x"), [each]),
                (fault("found", "x"), ["test_it.py"]),
                (fault("behind", "x if x == 1 else 2 * x"), ["test_it.py"]),
                (fault("equal", "x * 2"), ["test_it.py"]),
            ]
        )

    assert caught == {"noted": each, "found": each}
    assert capsys.readouterr().out.splitlines() == [
        f"not said to be caught: behind: {behind} passes when it is run alone",
        f"not said to be caught: equal: {same} fails without it, too",
    ]
