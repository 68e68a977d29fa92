"""How many examples each property is tried with: 50 in `make test`; POLIQI_EXAMPLES=1000 says how many else.

No example has a deadline: on a machine that does other work too, time says nothing about what is right.

A shell starts what runs in its background with SIGINT and SIGQUIT ignored, and programs hand that on: tests that
send them to a program want it as a terminal would start it.
"""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "poliqi",
    max_examples=int(os.environ.get("POLIQI_EXAMPLES", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("poliqi")

for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)
