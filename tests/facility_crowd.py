"""Many clients at once: what each of several processes runs, with threads in it, every thread a client of its own.

`python -m facility_crowd ROOT SEED CLIENTS BOOKINGS` prints, as JSON, what was booked and how many were refused.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from pathlib import Path

from facility_rig import START

from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.refusal import Reason, Refused

LOGINS = ("ric", "uni", "ann", "amy", "bob")
SPAN_S = 120 * 86_400
GRID_S = 300


def client(root: Path, seed: int, bookings: int, booked: list[str], refused: list[int]) -> None:
    """So many bookings that stand, at random times; each answer is asked for twice now and then."""
    draw = random.Random(seed)
    with Facility.open(root, now_s=lambda: START) as facility:
        made = 0
        while made < bookings:
            user = facility.user(draw.choice(LOGINS))
            begin = START + draw.randrange(SPAN_S // GRID_S) * GRID_S
            end = begin + draw.randrange(60, 600)
            request = f"{seed}-{made}-{begin}"
            try:
                booking = facility.book("saxs", begin, end, by=user, request=request)
            except Refused as error:
                assert error.reason is Reason.OVERLAP
                refused.append(1)
                continue
            if draw.random() < 0.1:
                assert facility.book("saxs", begin, end, by=user, request=request).id == booking.id
            booked.append(booking.id)
            made += 1


def main() -> None:
    root, seed, clients, bookings = Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])
    booked: list[str] = []
    refused: list[int] = []
    threads = [
        threading.Thread(target=client, args=(root, seed * 1000 + i, bookings, booked, refused))
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"booked": booked, "refused": len(refused)}))


if __name__ == "__main__":
    main()
