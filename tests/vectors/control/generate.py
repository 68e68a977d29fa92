"""Writes messages.json, records.json and agent.json from docs/spec/control.md, with the json module alone.

Run from the root of the repository: python tests/vectors/control/generate.py
"""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Json = dict[str, Any]

HELLO: Json = {
    "type": "hello", "version": 1, "software": "poliqi 1", "instance": "a1", "epoch": 7, "table": 3, "obeyed": "c1",
    "never_through": ["navigli"], "max_relays": 3,
}  # fmt: skip
WELCOME: Json = {"type": "welcome", "version": 1, "controller": "control", "instance": "c1", "epoch": 7}
LINK: Json = {
    "link": "leonardo-bovisa", "state": "lit", "key_rate_bps": 1234.5, "qber_key": 0.021, "qber_test": 0.03,
    "loss_db": 4.2, "noise": 1e-06, "epsilon": 1e-10, "blocks": 17, "age_s": 0.5, "reason": "",
    "is_simulated": True,
}  # fmt: skip
POOL: Json = {
    "pool": "intesa.leonardo", "peer": "intesa", "is_relayed": True, "free_bits": 1000, "stored_bits": 2000,
    "capacity_bits": 100000, "taken_bits": 50, "filled_bits": 2050,
}  # fmt: skip
REPORT: Json = {
    "type": "report", "number": 4, "wall_ns": 1700000000000000000, "links": [LINK], "pools": [POOL],
    "peers": [{"site": "intesa", "is_connected": True}], "keys_delivered": 3, "requests": 4, "requests_refused": 1,
    "is_draining": False,
}  # fmt: skip
HEARD: Json = {"type": "heard", "epoch": 7, "number": 4}
NOTICE: Json = {"type": "notice", "kind": "segment-damaged", "text": "segment 4 cannot be read", "peer": None}
APPLIED: Json = {"type": "applied", "epoch": 7, "table": 3, "refused": ["pool a.b: no"]}
WAY: Json = {"paths": [["leonardo", "aria", "intesa"]], "share": 0.75}
SUM: Json = {
    "paths": [["leonardo", "aria", "intesa"], ["leonardo", "bovisa", "santabarbara", "intesa"]],
    "share": 0.25,
}
ROUTE: Json = {
    "pool": "intesa.leonardo", "to": "intesa", "rate_bps": 250.0, "priority": 5, "ways": [WAY, SUM],
    "spares": [{"paths": [["leonardo", "bovisa", "santabarbara", "intesa"]], "share": 1.0}],
}  # fmt: skip
TABLE: Json = {"type": "table", "epoch": 7, "table": 3, "routes": [ROUTE]}
ALL = {
    "hello": HELLO, "welcome": WELCOME, "report": REPORT, "heard": HEARD, "notice": NOTICE, "applied": APPLIED,
    "table": TABLE,
}  # fmt: skip
DEFAULTS: dict[str, Json] = {
    "hello": {"obeyed": "", "never_through": [], "max_relays": 7},
    "report": {
        "links": [], "pools": [], "peers": [], "keys_delivered": 0, "requests": 0, "requests_refused": 0,
        "is_draining": False,
    },
    "notice": {"peer": None},
    "applied": {"refused": []},
}  # fmt: skip
LINK_DEFAULTS: Json = {
    "key_rate_bps": None, "qber_key": None, "qber_test": None, "loss_db": None, "noise": None, "epsilon": None,
    "blocks": 0, "age_s": 0.0, "reason": "", "is_simulated": False,
}  # fmt: skip


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def changed(message: Json, place: str, value: Any) -> Json:
    """A copy with one member set; the place is a path with dots."""
    copy = deepcopy(message)
    target: Any = copy
    *parents, last = place.split(".")
    for parent in parents:
        target = target[int(parent)] if parent.isdecimal() else target[parent]
    target[int(last) if last.isdecimal() else last] = value
    return copy


def without(message: Json, place: str) -> Json:
    copy = deepcopy(message)
    target: Any = copy
    *parents, last = place.split(".")
    for parent in parents:
        target = target[int(parent)] if parent.isdecimal() else target[parent]
    del target[last]
    return copy


def messages() -> Json:
    accepted = [{"name": name, "frame": text(m), "message": m} for name, m in ALL.items()]
    for name, defaults in DEFAULTS.items():
        bare = {k: v for k, v in ALL[name].items() if k not in defaults}
        accepted.append(
            {"name": f"{name}, defaults left out", "frame": text(bare), "message": {**bare, **defaults}}
        )
    silent = {"link": "x", "state": "silent"}
    accepted.append(
        {
            "name": "a link of which nothing was measured",
            "frame": text(changed(REPORT, "links.0", silent)),
            "message": changed(REPORT, "links.0", {**silent, **LINK_DEFAULTS}),
        }
    )
    accepted += [
        {"name": "members of a later version", "frame": text({**HEARD, "colour": [1, {}]}), "message": HEARD},
        {"name": "white space", "frame": f" {json.dumps(HEARD, indent=1)}\n", "message": HEARD},
        {"name": "a type of a later version", "frame": '{"type":"song","verse":1}', "message": None},
        {"name": "members in another order", "frame": text(dict(reversed(HEARD.items()))), "message": HEARD},
        {
            "name": "the longest name",
            "frame": text(changed(WELCOME, "controller", "x" * 128)),
            "message": changed(WELCOME, "controller", "x" * 128),
        },
        {
            "name": "the largest count",
            "frame": text(changed(HEARD, "number", (1 << 62) - 1)),
            "message": changed(HEARD, "number", (1 << 62) - 1),
        },
    ]
    return {"accepted": accepted, "refused": refused_messages()}


def refused_messages() -> list[Json]:
    found: list[Json] = [
        {"name": name, "frame": frame}
        for name, frame in (
            ("nothing", ""),
            ("no object", "[]"),
            ("a number", "7"),
            ("null", "null"),
            ("no type", "{}"),
            ("a type that is no text", '{"type":7}'),
            ("cut short", text(REPORT)[:-1]),
            ("something behind it", text(HEARD) + "{}"),
            ("two types", '{"type":"heard","type":9,"epoch":1,"number":1}'),
            ("not a number", text(REPORT).replace("1234.5", "NaN")),
            ("infinity", text(REPORT).replace("1234.5", "Infinity")),
            ("a number beyond doubles", text(REPORT).replace("1234.5", "1e999")),
            ("very deep", "[" * 5000),
        )
    ]
    for name, message in ALL.items():
        needed = [k for k in message if k != "type" and k not in DEFAULTS.get(name, {})]
        found += [{"name": f"{name} without {m}", "frame": text(without(message, m))} for m in needed]
    wrong: list[tuple[Json, str, Any]] = [
        (HELLO, "version", -1), (HELLO, "version", 1.5), (HELLO, "epoch", 1 << 62), (HELLO, "epoch", "7"),
        (HELLO, "instance", ""), (HELLO, "instance", "x" * 129), (HELLO, "instance", "a\nb"),
        (HELLO, "software", "x" * 513), (HELLO, "software", "two\nlines"), (HELLO, "max_relays", 8),
        (HELLO, "never_through", "navigli"), (HELLO, "never_through", [""]), (HELLO, "never_through", ["x"] * 1025),
        (WELCOME, "controller", None), (WELCOME, "controller", ""), (WELCOME, "epoch", True),
        (REPORT, "wall_ns", -1), (REPORT, "wall_ns", 1.7e18 + 0.5), (REPORT, "number", None),
        (REPORT, "is_draining", 1), (REPORT, "links", {}),
        (REPORT, "links.0.state", "bright"), (REPORT, "links.0.state", "LIT"), (REPORT, "links.0.link", ""),
        (REPORT, "links.0.key_rate_bps", -1.0), (REPORT, "links.0.key_rate_bps", 1e16),
        (REPORT, "links.0.qber_key", 1.01), (REPORT, "links.0.qber_key", -0.01),
        (REPORT, "links.0.qber_test", "2 %"),
        (REPORT, "links.0.loss_db", 201.0), (REPORT, "links.0.loss_db", -51.0), (REPORT, "links.0.noise", 2),
        (REPORT, "links.0.epsilon", 1.5), (REPORT, "links.0.blocks", -1), (REPORT, "links.0.age_s", -0.1),
        (REPORT, "links.0.reason", "x" * 513), (REPORT, "links.0.reason", "\u0000"),
        (REPORT, "pools.0.free_bits", -1), (REPORT, "pools.0.free_bits", 0.5), (REPORT, "pools.0.peer", ""),
        (REPORT, "pools.0.is_relayed", "yes"), (REPORT, "pools.0.capacity_bits", 1 << 62),
        (REPORT, "peers.0.is_connected", None), (REPORT, "peers.0.site", 5), (REPORT, "peers.0", []),
        (NOTICE, "kind", ""), (NOTICE, "text", None), (NOTICE, "text", "a\u001b[2J"), (NOTICE, "peer", ""),
        (APPLIED, "refused", "no"), (APPLIED, "refused", ["x" * 513]), (APPLIED, "table", -3),
        (TABLE, "routes", None), (TABLE, "routes.0.rate_bps", -1), (TABLE, "routes.0.priority", 8),
        (TABLE, "routes.0.priority", -1), (TABLE, "routes.0.ways", [WAY] * 17),
        (TABLE, "routes.0.spares", [WAY] * 5),
        (TABLE, "routes.0.ways.0.paths", []), (TABLE, "routes.0.ways.0.paths", [["a"]]),
        (TABLE, "routes.0.ways.0.paths", [["a", "b"]] * 9), (TABLE, "routes.0.ways.0.paths.0", list("abcdefghij")),
        (TABLE, "routes.0.ways.0.share", 1.1), (TABLE, "routes.0.ways.0.share", -0.1), (TABLE, "routes.0.to", ""),
        (TABLE, "routes.0.ways.0.paths.0.1", ""), (HEARD, "number", -1), (HEARD, "epoch", []),
    ]  # fmt: skip
    for message, place, value in wrong:
        shown = value if not isinstance(value, list | str) or len(value) < 12 else f"{len(value)} of them"
        found.append(
            {"name": f"{message['type']}: {place} is {shown!r}", "frame": text(changed(message, place, value))}
        )
    return found


RECORDS: list[Json] = [
    {"type": "started", "city": "milan", "controller": "control", "instance": "c1", "epoch": 7},
    {"type": "city", "version": 2, "digest": "00ff", "change": "demands +bank"},
    {"type": "site", "site": "aria", "is_up": True},
    {"type": "link", "link": "leonardo-bovisa", "state": "dark"},
    {
        "type": "routes",
        "pairs": [
            {
                "ends": ["intesa", "leonardo"], "priority": 5, "granted_bps": 500.0,
                "ways": [{"paths": [["intesa", "aria", "leonardo"]], "rate_bps": 500.0}],
                "spares": [{"paths": [["intesa", "santabarbara", "bovisa", "leonardo"]], "rate_bps": 500.0}],
            }
        ],
    },
    {"type": "drained", "site": "bovisa", "is_draining": True},
    {
        "type": "served", "seconds": 60.0,
        "demands": [
            {"demand": "bank", "available_s": 58.0, "wanted_bps": 5e2, "granted_bps": 490.0, "delivered_bps": 120.0}
        ],
        "links": [{"link": "leonardo-bovisa", "lit_s": 31.5, "key_bits": 40000.0}],
        "keys_delivered": 28, "requests": 30, "requests_refused": 2,
    },
    {"type": "drained", "site": "bovisa", "is_draining": False},
]  # fmt: skip


def line(place: int, **more: Any) -> str:
    """Record number `place` of the log, counted from 1."""
    record = RECORDS[place - 1]
    return text(
        {"type": record["type"], "v": 1, "n": place, "wall_ns": 1_700_000_000_000_000_000, **record, **more}
    )


def records() -> Json:
    whole = [line(i) for i in range(1, len(RECORDS) + 1)]
    route = RECORDS[4]["pairs"][0]
    gone = {**route, "ways": [], "spares": []}

    def left(epoch: int, version: int, drained: list[str], routes: list[Json]) -> Json:
        return {"epoch": epoch, "version": version, "drained": drained, "routes": routes}

    loaded = [
        {"name": "nothing", "lines": [], "left": left(0, 0, [], [])},
        {"name": "a start", "lines": whole[:1], "left": left(7, 0, [], [])},
        {"name": "routes and a drain", "lines": whole[:7], "left": left(7, 2, ["bovisa"], [route])},
        {"name": "the drain is over", "lines": whole, "left": left(7, 2, [], [route])},
        {
            "name": "a last line cut short",
            "lines": [*whole[:6], whole[6][:50]],
            "left": left(7, 2, ["bovisa"], [route]),
        },
        {"name": "the log was cut before it", "lines": whole[4:], "left": left(0, 0, [], [route])},
        {"name": "a second start", "lines": [*whole, line(1, n=9, epoch=8)], "left": left(8, 2, [], [route])},
        {"name": "routes taken back", "lines": [*whole, line(5, n=9, pairs=[gone])], "left": left(7, 2, [], [])},
        {
            "name": "what stands takes the place of all before",
            "lines": [*whole[:7], line(1, type="standing", n=8)],
            "left": left(7, 2, [], []),
        },
    ]
    bad = {
        "empty": "", "no JSON": "{", "no object": "[]", "no type": "{}", "an unknown type": line(3, type="song"),
        "a later format": line(3, v=2), "format 0": line(3, v=0), "the number of the line before": line(3, n=2),
        "a number too far": line(3, n=4), "no number": line(3, n=None), "a clock before 1970": line(3, wall_ns=-1),
        "another city": line(1, n=3, city="turin", epoch=9), "an epoch not higher": line(1, n=3),
        "a site without a name": line(3, site=""), "up is no yes or no": line(3, is_up=1),
        "a state that is none": line(4, n=3, state="bright"),
        "priority 8": line(5, n=3, pairs=[{**route, "priority": 8}]),
        "a path of one site": line(5, n=3, pairs=[{**route, "ways": [{"paths": [["a"]], "rate_bps": 1.0}]}]),
        "a rate below 0": line(5, n=3, pairs=[{**route, "granted_bps": -1.0}]),
        "seconds below 0": line(7, n=3, seconds=-1.0), "two lines in one": whole[2] + whole[3],
    }  # fmt: skip
    refused = [{"name": n, "lines": [*whole[:2], text_, *whole[3:]], "line": 3} for n, text_ in bad.items()]
    refused += [
        {"name": f"at the end: {n}", "lines": [*whole[:2], bad[n]], "line": 3}
        for n in ("no object", "an unknown type", "a number too far", "another city", "a later format")
    ]
    return {"city": "milan", "loaded": loaded, "refused": refused}


def agent() -> Json:
    """What an agent of site a, which shares stocks a.b with b and a.d with d, and lets nothing pass z, answers."""

    def route(*paths: str, pool: str = "a.d", to: str = "d", spares: list[Json] | None = None) -> Json:
        way = {"paths": [list(path) for path in paths], "share": 1.0}
        return {"pool": pool, "to": to, "rate_bps": 1e6, "priority": 3, "ways": [way], "spares": spares or []}

    def table(*routes: Json, epoch: int = 7, number: int = 1) -> Json:
        return {"type": "table", "epoch": epoch, "table": number, "routes": list(routes)}

    def applied(epoch: int, number: int, refused: int = 0) -> Json:
        return {"type": "applied", "epoch": epoch, "table": number, "refused": refused}

    good = route("abd")
    elder, younger = {**WELCOME, "epoch": 6, "instance": "c0"}, {**WELCOME, "epoch": 8, "instance": "c2"}
    cases = [
        ("a table is applied", [WELCOME, table(good)], [applied(7, 1)], {"a.d": [list("abd")]}),
        ("twice the same", [WELCOME, table(good), table(good)], [applied(7, 1)] * 2, {"a.d": [list("abd")]}),
        (
            "an older table comes late",
            [WELCOME, table(good, number=2), table(route("acd"), number=1)],
            [applied(7, 2)] * 2,
            {"a.d": [list("abd")]},
        ),
        ("a table before the welcome", [table(good)], [], {}),
        ("heard before the welcome", [HEARD], [], {}),
        ("a table of another epoch", [WELCOME, table(good, epoch=8)], [applied(7, 0, 1)], {}),
        (
            "a lower epoch after a higher",
            [WELCOME, table(good), elder, table(route("acd"), epoch=6, number=9)],
            [applied(7, 1), applied(7, 1, 1), applied(7, 1, 1)],
            {"a.d": [list("abd")]},
        ),
        (
            "another controller of the same epoch",
            [WELCOME, table(good), {**WELCOME, "instance": "c2"}, table(route("acd"), number=2)],
            [applied(7, 1), applied(7, 1, 1), applied(7, 1, 1)],
            {"a.d": [list("abd")]},
        ),
        (
            "a higher epoch counts its tables anew",
            [WELCOME, table(good, number=5), younger, table(route("acd"), epoch=8)],
            [applied(7, 5), applied(8, 1)],
            {"a.d": [list("acd")]},
        ),
        ("an empty table", [WELCOME, table(good), table(number=2)], [applied(7, 1), applied(7, 2)], {}),
        ("summed", [WELCOME, table(route("abd", "acd"))], [applied(7, 1)], {"a.d": [list("abd"), list("acd")]}),
    ]  # fmt: skip
    bad = {
        "a stock that it does not have": route("axe", pool="a.e", to="e"),
        "a stock with another site": route("acb", to="b"),
        "a path that begins elsewhere": route("bcd"),
        "a path that ends elsewhere": route("abc"),
        "a path with a loop": route("abcbd"),
        "a path through a forbidden site": route("azd"),
        "a path through its own end": route("adbd"),
        "a path of four relays": route("aefghd"),
        "paths that share a relay": route("abd", "acbd"),
        "the same path twice": route("abd", "abd"),
        "one of two paths forbidden": route("abd", "azd"),
    }
    for name, found in bad.items():
        cases.append((f"refused: {name}", [WELCOME, table(found)], [applied(7, 1, 1)], {}))
        kept = route("acb", pool="a.b", to="b")
        both = [WELCOME, table(kept, found)]
        cases.append((f"refused beside a good one: {name}", both, [applied(7, 1, 1)], {"a.b": [list("acb")]}))
    twice = [WELCOME, table(good, route("acd"))]
    cases.append(("refused: a stock that stands twice", twice, [applied(7, 1, 1)], {"a.d": [list("abd")]}))
    half = {**good, "ways": [{"paths": [list("abd")], "share": 0.6}, {"paths": [list("acd")], "share": 0.6}]}
    cases.append(("refused: shares over 1", [WELCOME, table(half)], [applied(7, 1, 1)], {}))
    ended = [
        {"name": f"a controller says {m['type']}", "frames": [WELCOME, m]} for m in (HELLO, REPORT, NOTICE, APPLIED)
    ]
    return {
        "site": "a",
        "pools": {"a.b": "b", "a.d": "d"},
        "never_through": ["z"],
        "max_relays": 3,
        "cases": [{"name": n, "frames": f, "answers": a, "paths": p} for n, f, a, p in cases],
        "ended": ended,
    }


if __name__ == "__main__":
    for name, made in (("messages", messages()), ("records", records()), ("agent", agent())):
        (HERE / f"{name}.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
