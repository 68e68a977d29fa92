"""What applications wrote down about the keys they got, and the audit of it.

One file per application, a JSON object a line: `did` (order or fetch), `outcome` ("ok", "503" and the like,
"unsent", "broken"), `ids`, and for "ok" `values`: SHA-256 and the first 8 bytes of each, and its size. A broken
connection leaves the outcome unknown. The kills stand in a file of their own, by the same clock.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from live_sites import block_key

from poliqi.edge.audit import read_audit, verify_audit

NOTICED_S = 0.5
"""So long after its refusal to a fetch the death of the other site may have been written down."""
STEP = 8
"""Keys of the rig begin at multiples of this many bytes, for their sizes are multiples of it."""


class Log:
    """Appends lines; each is in the file when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, **record: Any) -> None:
        self._file.write(json.dumps({"at": time.monotonic(), **record}) + "\n")

    def close(self) -> None:
        self._file.close()


def seen(value: bytes) -> list[object]:
    """What is written down of a key's value."""
    return [hashlib.sha256(value).hexdigest(), value[:STEP].hex(), len(value)]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


@dataclass
class Findings:
    """The audit's result: `wrong` must be empty, `explained` holds one line for each accepted loss."""

    ordered: int = 0
    fetched: int = 0
    unknown: int = 0
    "Acknowledged keys whose fetch broke off: burnt, or delivered into a broken connection."
    placed: int = 0
    "Values that were found in the blocks, so that no bit of them went out twice."
    burnt: int = 0
    "Acknowledged keys that are gone since a site was set back or ran twice."
    wrong: list[str] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.ordered} keys ordered, {self.fetched} fetched, {self.unknown} unknown after a broken connection"
            f", {len(self.explained)} lost as documented, {self.burnt} burnt, {self.placed} values placed, "
            f"{len(self.wrong)} wrong"
        )


class Ledger:
    """All that the applications saw: who got what, and what became of every key."""

    def __init__(self, folder: Path) -> None:
        self.findings = Findings()
        self.orders: dict[str, dict[str, Any]] = {}
        self.fetches: dict[str, dict[str, Any]] = {}
        self.attempts: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.values: dict[str, dict[str, list[Any]]] = {"order": {}, "fetch": {}}
        for path in sorted(folder.glob("sae-*.jsonl")):
            for record in lines(path):
                self._take(record)
        kills = folder / "kills.jsonl"
        self.kills = list(lines(kills)) if kills.exists() else []

    def wrong(self, text: str) -> None:
        self.findings.wrong.append(text)

    def _take(self, record: dict[str, Any]) -> None:
        did, ok = record["did"], record["outcome"] == "ok"
        if did == "fetch":
            for key_id in record["ids"]:
                self.attempts[key_id].append(record)
        if not ok:
            return
        known = self.orders if did == "order" else self.fetches
        for key_id, value in zip(record["ids"], record["values"], strict=True):
            if key_id in known:
                self.wrong(f"{did}: key {key_id} was delivered twice: {known[key_id]['at']} and {record['at']}")
            known[key_id] = record
            self.values[did][key_id] = value

    # ---------------------------------------------------------------- what the applications hold

    def judge(self, blocks: Iterable[tuple[str, int, int]] = (), *, loses_nothing: bool = True) -> Findings:
        """Nothing twice, nothing different; with `loses_nothing`, nothing acknowledged and lost.

        `blocks` are (link, number, size) of what was fed.
        """
        f = self.findings
        f.ordered, f.fetched = len(self.values["order"]), len(self.values["fetch"])
        for did, values in self.values.items():
            for digest, count in Counter(value[0] for value in values.values()).items():
                if count > 1:
                    self.wrong(f"{did}: value {digest[:16]} was delivered {count} times")
        for key_id, value in self.values["fetch"].items():
            ordered = self.values["order"].get(key_id)
            if ordered is None:
                self.wrong(f"key {key_id} was fetched and never ordered")
            elif ordered != value:
                self.wrong(f"key {key_id} differs between the ends")
        self._place(list(blocks))
        for key_id in self.values["order"]:
            if key_id not in self.values["fetch"]:
                self._judge_missing(key_id, loses_nothing=loses_nothing)
        return f

    def _judge_missing(self, key_id: str, *, loses_nothing: bool) -> None:
        tries = self.attempts[key_id]
        if any(t["outcome"] == "broken" for t in tries):
            self.findings.unknown += 1
            return
        if not loses_nothing:
            self.findings.burnt += 1
            return
        why = self._excuse(key_id)
        if why:
            self.findings.explained.append(f"key {key_id}: {why}")
        else:
            order = self.orders[key_id]
            told = [f"{t['at']:.3f} {t['outcome']} {t.get('message', '')}" for t in tries]
            self.wrong(f"key {key_id} was acknowledged at {order['at']:.3f} and is lost; fetches: {told}")

    def _excuse(self, key_id: str) -> str:
        """The one accepted loss: refused because the owner died, then the slave's site was killed as well."""
        for tried in self.attempts[key_id]:
            if tried["outcome"] != "503":
                continue
            owner = [k for k in self.kills if k["site"] != tried["site"] and k["at"] <= tried["at"] + NOTICED_S]
            slave = [k for k in self.kills if k["site"] == tried["site"] and k["at"] >= tried["began"]]
            if owner and slave:
                return (
                    f"{owner[-1]['site']} was killed at {owner[-1]['at']:.3f}; {tried['site']} then refused at "
                    f"{tried['at']:.3f} ({tried['message']}) and was itself killed at {slave[0]['at']:.3f}"
                )
        return ""

    def _place(self, blocks: list[tuple[str, int, int]]) -> None:
        """Find every value in the blocks that were fed; no two may share a byte."""
        for did, values in self.values.items():
            heads: dict[int, list[tuple[str, list[Any]]]] = defaultdict(list)
            for key_id, value in values.items():
                heads[int.from_bytes(bytes.fromhex(value[1]), "little")].append((key_id, value))
            wanted = np.array(sorted(heads), np.uint64)
            for link, number, size in blocks if wanted.size else ():
                self._place_in(did, link, number, block_key(link, number, size), wanted, heads)

    def _place_in(
        self,
        did: str,
        link: str,
        number: int,
        block: bytes,
        wanted: np.ndarray,
        heads: dict[int, list[tuple[str, list[Any]]]],
    ) -> None:
        words = np.frombuffer(block[: len(block) // STEP * STEP], "<u8")
        spots = np.flatnonzero(np.isin(words, wanted))
        used = 0
        for spot in spots.tolist():
            at = STEP * spot
            for key_id, (digest, _, size) in heads[int(words[spot])]:
                if hashlib.sha256(block[at : at + size]).hexdigest() != digest:
                    continue
                self.findings.placed += 1
                if at < used:
                    self.wrong(f"{did}: key {key_id} shares bits with another, in block {number} of {link} at {at}")
                used = max(used, at + size)

    # ---------------------------------------------------------------- what the sites wrote

    def compare_with_sites(
        self, states: dict[str, Path], home: dict[str, str], *, were_set_back: bool = False
    ) -> None:
        """Hold the sites' own audits against what the applications saw; `home` names an application's site.

        An audit that was set back has forgotten lines, so only what it still says is looked at.
        """
        promised: dict[str, Counter[str]] = {}
        released: dict[str, Counter[str]] = {}
        for site, state in states.items():
            verify_audit(state)
            promised[site], released[site] = Counter(), Counter()
            for line in read_audit(state):
                said = json.loads(line)
                ids = said["detail"].get("key_ids", "")
                names = [ids[i : i + 32] for i in range(0, len(ids), 32)]
                if said["event"] == "promised":
                    promised[site].update(names)
                elif said["event"] == "released":
                    released[site].update(names)
                elif said["event"] == "withheld":
                    released[site].subtract(names)
        for site, counts in promised.items():
            for key_id, count in counts.items():
                if count > 1:
                    self.wrong(f"{site} promised key {key_id} {count} times")
        for site, counts in released.items():
            for key_id, count in counts.items():
                if count > 1:
                    self.wrong(f"{site} released key {key_id} {count} times by its own audit")
        if were_set_back:
            return
        for key_id, record in self.orders.items():
            if not promised[home[record["sae"]]][key_id.replace("-", "")]:
                self.wrong(f"key {key_id} went to {record['sae']} and its site's audit does not know it")
        for key_id, record in self.fetches.items():
            if not released[home[record["sae"]]][key_id.replace("-", "")]:
                self.wrong(f"key {key_id} went to {record['sae']} and its site's audit does not know it")
