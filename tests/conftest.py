"""How many examples each property is tried with: 50 in `make test`; POLIQI_EXAMPLES=1000 says how many else.

No example has a deadline: on a machine that does other work too, time says nothing about what is right.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "poliqi",
    max_examples=int(os.environ.get("POLIQI_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("poliqi")
