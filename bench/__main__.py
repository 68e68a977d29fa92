"""`python -m bench` lists the benchmarks; `python -m bench NAME [--json] [--quick]` runs one."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from typing import Any

import bench
from bench.report import machine

NOT_BENCHES = {"__main__", "report", "peers"}


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in NOT_BENCHES)


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", help="which benchmark; none lists them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: under 50 s")
    args = parser.parse_args()
    if args.name is None:
        for name in names():
            doc = importlib.import_module(f"bench.{name}").__doc__ or ""
            print(f"{name:12} {doc.splitlines()[0]}")
        return
    if args.name not in names():
        sys.exit(f"no benchmark is called {args.name!r}; there are {', '.join(names())}")
    results, details = importlib.import_module(f"bench.{args.name}").run(quick=args.quick)
    figures = [r.as_json() for r in results]
    answer = {"bench": args.name, "results": figures, "details": details, "machine": machine()}
    print(json.dumps(answer) if args.json else table(answer))


main()
