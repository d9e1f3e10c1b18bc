"""The faults of tests/mutants still fit the code: each old text stands there once. `make mutants` tries them all."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.faults import ALL, Fault


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_fault_can_still_be_put_in(fault: Fault) -> None:
    assert (ROOT / fault.path).read_text(encoding="utf-8").count(fault.old) == 1
    assert fault.old != fault.new
    assert all((ROOT / "tests" / name).exists() for name in fault.tests)


def test_no_two_faults_are_called_alike() -> None:
    assert len({fault.name for fault in ALL}) == len(ALL) >= 60
