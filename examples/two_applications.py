"""Tries a sector's example on this machine: its sites, a stock of simulated key, its applications, until Ctrl-C.

    python examples/two_applications.py health

For each SITE.sae.toml of the folder it makes run/SITE/ with a copy of it, an identity, contacts and certificates,
starts the site's key management and the application, and says where everything is. The folder's README goes on from
there, in a second terminal. **Simulated keys protect nothing.** It runs from a clone, on the ports of the files.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.sites import POLIQI, LiveCity, live_city  # noqa: E402  # bench stands beside examples, in a clone alone
from poliqi.apps.identity import Identity  # noqa: E402
from poliqi.base.ids import SaeId  # noqa: E402
from poliqi.edge.entropy import OperatingSystemEntropy  # noqa: E402

STOCK_BYTES = 4 << 20


def set_up(sector: Path, run: Path, city: LiveCity) -> dict[str, Path]:
    """The folder of each application, ready to run."""
    names = [path.name.removesuffix(".sae.toml") for path in sorted(sector.glob("*.sae.toml"))]
    folders = {name: run / name for name in names}
    texts: dict[str, str] = {}
    for name, folder in folders.items():
        (folder / "contacts").mkdir(parents=True, mode=0o700)
        identity = Identity.make(SaeId(f"{name}1"), OperatingSystemEntropy())
        identity.write(folder / "identity.key")
        texts[name] = identity.contact.text()
        certificate, key = city[name].credentials(f"{name}1")
        for source, target in (
            (certificate, "certificate.pem"),
            (key, "key.pem"),
            (city[name].ca, "authority.pem"),
        ):
            shutil.copy(source, folder / target)
        text = (sector / f"{name}.sae.toml").read_text()
        (folder / "sae.toml").write_text(re.sub(r'(?m)^url = ".*"', f'url = "{city[name].url}"', text))
    for folder in folders.values():
        for name, text in texts.items():
            (folder / "contacts" / f"{name}.pub").write_text(text)
    return folders


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The application; what it says goes into a file `log`."""
    with (folder / "log").open("wb") as log:
        words = [*POLIQI, "sae", "run", str(folder / "sae.toml")]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603  # ours


def main(sector: Path, run: Path) -> None:
    names = sorted(path.name.removesuffix(".sae.toml") for path in sector.glob("*.sae.toml"))
    if len(names) < 2:
        sys.exit(
            f"{sector} has no SITE.sae.toml of two sites; name health, finance, administration or intelligence"
        )
    if run.exists():
        sys.exit(f"{run} is there from another time; delete it first: rm -r {run}")
    run.mkdir(mode=0o700)
    links = list(combinations(names, 2))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with live_city(names, links) as city:
        for a, b in links:
            city.block(f"{a}-{b}", 1, STOCK_BYTES)
        folders = set_up(sector, run, city)
        processes = [start(folder) for folder in folders.values()]
        while not stopped.is_set() and not all("ready:" in (f / "log").read_text() for f in folders.values()):
            stopped.wait(0.1)
            if any(process.poll() is not None for process in processes):
                sys.exit("an application ended: " + " ".join((f / "log").read_text() for f in folders.values()))
        print(
            f"{len(names)} sites and their applications run, with {STOCK_BYTES >> 20} MiB of SIMULATED key a link:"
        )
        for name, folder in folders.items():
            print(f"  {name}: {folder / 'sae.toml'}; what it says: {folder / 'log'}")
        print("Ctrl-C ends them.", flush=True)
        stopped.wait()
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(__file__).parent / sys.argv[1], Path("run").absolute())
