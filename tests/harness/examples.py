"""How many examples Hypothesis draws: a fifth in `make test`; all in `make slow`, by `--hypothesis-profile deep`.

`make mutants` wants to know whether there is an example that fails, and none that is short.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

# On a busy machine examples are slow to draw and to try, which says nothing about the code.
settings.register_profile("quick", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", settings.get_profile("quick"), max_examples=100)
settings.register_profile(
    "unshrunk", settings.get_profile("deep"), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
settings.load_profile("quick")


def examples(most: int) -> int:
    """So many of `most` examples as the profile in force draws."""
    return max(1, most * settings.default.max_examples // 100)
