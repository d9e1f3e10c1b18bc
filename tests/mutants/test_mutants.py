"""The faults of tests/mutants still fit the code: each old text stands there once. `make mutants` tries them all."""

from __future__ import annotations

from tests.mutants.__main__ import ROOT
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
