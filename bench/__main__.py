"""`python -m bench` lists the benchmarks; `python -m bench NAME [--json] [--quick] [--with FILE.py:CLASS]` runs
one.

`--with` names an implementation of the measured seam: it is run on the same input as ours.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench
from bench.report import machine

_RUN = re.compile(r"^def run\(", re.MULTILINE)


def names() -> list[str]:
    """The modules with a function `run`; the others help them."""
    folder = Path(bench.__file__).parent
    return sorted(file.stem for file in folder.glob("*.py") if _RUN.search(file.read_text(encoding="utf-8")))


def table(answer: dict[str, Any]) -> str:
    lines = [f"{'metric':44} {'value':>12} {'unit':10} {'goal':>14} {'ratio':>7}  peer"]
    for r in answer["results"]:
        goal = "-" if r["goal"] is None else f"{'>=' if r['sense'] == 'min' else '<='} {r['goal']:g}"
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        peer = "" if r["peer"] is None else f"{r['peer']}: {r['peer_value']:.4g}"
        lines.append(f"{r['metric']:44} {r['value']:12.4g} {r['unit']:10} {goal:>14} {ratio:>7}  {peer}")
    m = answer["machine"]
    lines.append(f"on {m['cpu']}, Python {m['python']}, memcpy {m['memcpy_gb_s']} GB/s, load {m['load_1min']}")
    return "\n".join(lines)


def outsider(place: str) -> Callable[[], Any]:
    """The class that `--with FILE.py:CLASS` names; its file may stand anywhere."""
    file, _, name = place.rpartition(":")
    path = Path(file).resolve()
    if not path.is_file() or path.suffix != ".py":
        sys.exit(f"--with {place!r}: there is no Python file {str(path)!r}; write --with path/to/file.py:Class")
    spec = importlib.util.spec_from_file_location(f"candidate_{path.stem}", path)
    assert spec is not None  # of a .py file there always is one
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        sys.exit(f"--with {place!r}: {path.name} has no class {name!r}")
    return getattr(module, name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", help="which benchmark; none lists them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: under 50 s")
    parser.add_argument(
        "--with", dest="candidate", metavar="FILE.py:CLASS", help="your implementation, on the same input as ours"
    )
    args = parser.parse_args()
    if args.name is None:
        for name in names():
            doc = importlib.import_module(f"bench.{name}").__doc__ or ""
            print(f"{name:12} {doc.splitlines()[0]}")
        return
    if args.name not in names():
        sys.exit(f"no benchmark is called {args.name!r}; there are {', '.join(names())}")
    run = importlib.import_module(f"bench.{args.name}").run
    more: dict[str, Any] = {}
    if args.candidate is not None:
        takes = inspect.signature(run).parameters
        if "maker" in takes:  # called for each block, as ours is
            more["maker"] = outsider(args.candidate)
        elif "candidate" in takes:
            more["candidate"] = outsider(args.candidate)()
        else:
            sys.exit(f"benchmark {args.name!r} compares no implementations: it takes no --with")
    results, details = run(quick=args.quick, **more)
    figures = [r.as_json() for r in results]
    answer = {"bench": args.name, "results": figures, "details": details, "machine": machine()}
    print(json.dumps(answer) if args.json else table(answer))


main()
