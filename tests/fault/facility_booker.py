"""Books for ever, and says each booking once it stands: `python facility_booker.py ROOT`."""

from __future__ import annotations

import sys
from pathlib import Path

from facility_rig import START

from poliqi.lab.facility.facility import Facility

with Facility.open(Path(sys.argv[1]), now_s=lambda: START) as facility:
    ann = facility.user("ann")
    number = len(facility.bookings.between(0, 1 << 40, ann))
    while True:
        begin = START + 60 * number
        made = facility.book("saxs", begin, begin + 60, by=ann, request=str(number))
        print(made.id, flush=True)
        number += 1
