"""Books payments as they arrive: looks at an inbox each second, reads each pacs.008, moves it to done/ or wrong/.

    python watch_inbox.py INBOX BOOKED

An application's inbox has a folder for each sender, and a file appears in it whole or not at all, so what is there
may be read at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

if __package__:
    from examples.finance import payment
else:
    import payment


def arrived(inbox: Path) -> Iterator[Path]:
    """Payments of all senders, oldest first."""
    files = [path for path in inbox.glob("*/*.xml") if not path.parent.name.startswith(".") and path.is_file()]
    yield from sorted(files, key=lambda path: path.stat().st_mtime)


def book(path: Path, booked: Path) -> tuple[bool, str]:
    """Read one, and move it to done/ or wrong/; whether it was sound, and a line for people."""
    try:
        transfers = payment.read(path.read_bytes())
    except ValueError as error:
        is_sound, line = False, f"{path.parent.name}/{path.name}: refused: {error}"
    else:
        total = sum(t.amount for t in transfers)
        is_sound, line = True, f"{path.parent.name}/{path.name}: {len(transfers)} transfers, {total} EUR"
    folder = booked / ("done" if is_sound else "wrong") / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / path.name)
    return is_sound, line


def main(inbox: Path, booked: Path) -> None:
    while True:
        for path in arrived(inbox):
            print(book(path, booked)[1], flush=True)
        time.sleep(1.0)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
