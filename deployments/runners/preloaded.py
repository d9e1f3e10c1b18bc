"""What the preloaded process loads: all that a flow run imports, so that none has to wait for it."""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Mapping

MODULES = (
    "flows.deliver",
    "flows.inbox",
    "flows.recover",
    # What these import as late as in a run.
    "anyio._backends._asyncio",
    "encodings.idna",
    "encodings.utf_8_sig",
    "fsspec.implementations.chained",
    "pandas.core.arrays.arrow._arrow_utils",
    "pandera.api.geopandas.container",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.builtin_hypotheses",
    "pandera.backends.pandas.register",
    "prefect._internal.metrics",
    "prefect._internal.observers",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "pyarrow.parquet",
)
# numpy and pyarrow start threads as they are imported, which a fork would not have.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_OF_A_RUN = ("PREFECT__", "ROWRELAY_")  # read when a run begins; any other may be read as early as an import


def load() -> Mapping[str, str]:
    """Import it. Returns the environment that it was loaded for, as Prefect makes it for a flow run."""
    given = dict(os.environ)
    os.environ.update(_ONE_THREAD)
    for name in MODULES:
        importlib.import_module(name)  # some set variables of their own, which a fork keeps
    for name in _ONE_THREAD:
        del os.environ[name]
    os.environ.update(given)
    gc.collect()
    gc.freeze()  # so that a fork shares this memory for as long as it lives
    from prefect.settings import get_current_settings

    return {**given, **get_current_settings().to_environment_variables(exclude_unset=True)}


def fits(loaded: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether what was loaded for one environment is right for another."""
    return _lasting(loaded) == _lasting(wanted)


def _lasting(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_OF_A_RUN)}
