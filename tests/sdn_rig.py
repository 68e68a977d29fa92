"""A site's figures as ETSI 015 shows them, and the YANG modules that judge the trees: for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from yangson import DataModel
from yangson.enumerations import ContentType

from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.control.etsi015 import MODULE, NodeStatus, QkdNode
from poliqi.control.etsi015_state import NodeFigures, StockFigures, associations, qkd_node
from poliqi.control.messages import LightState, LinkReport
from poliqi.keys.policy import Application, Grant, Policy

YANG = Path(__file__).resolve().parents[1] / "packaging" / "yang"
A, B, C, D = (KmeId(name) for name in "abcd")
TYPES = "etsi-qkd-node-types:"


@cache
def model() -> DataModel:
    """The modules, with the library that the server names."""
    return DataModel.from_file(str(YANG / "yang-library.json"), [str(YANG)])


def validate(tree: Any) -> None:
    """Raise where yangson finds a fault in `tree`, a qkd_node with its module's name before it."""
    model().from_raw(tree).validate(ctype=ContentType.all)


def told(node: QkdNode) -> dict[str, Any]:
    """What a controller reads."""
    return msgspec.json.decode(msgspec.json.encode({f"{MODULE}:qkd_node": node}))


def policy(site: KmeId = A) -> Policy:
    """Two applications at a, one at each of b and c; a1 may share with b1 and c1, and b1 with a1."""
    homes = {"a1": A, "a2": A, "b1": B, "c1": C}
    applications = [Application(SaeId(name), home) for name, home in homes.items()]
    grants = [
        Grant(frozenset({SaeId("a1"), SaeId("b1")}), frozenset({SaeId("a1"), SaeId("b1")})),
        Grant(frozenset({SaeId("a1")}), frozenset({SaeId("c1"), SaeId("a2")})),
    ]
    return Policy(site, applications, grants)


def light(link: str = "a-b", state: LightState = LightState.LIT, **more: Any) -> LinkReport:
    """What a link's end says."""
    figures: dict[str, Any] = {"key_rate_bps": 2000.0, "qber_key": 0.0214, "loss_db": 3.456789, "age_s": 0.5}
    return LinkReport(link=link, state=state, **{**figures, **more})


def fibre(**more: Any) -> StockFigures:
    """The stock of a link between a and b, as a sees it."""
    figures: dict[str, Any] = {"is_connected": True, "stored_bits": 8000, "filled_bits": 9000, "filled_bps": 1500.0}
    return StockFigures(LinkId("a-b"), B, is_relayed=False, **{**figures, **more})


def virtual(**more: Any) -> StockFigures:
    """A stock between a and c that goes over b."""
    figures: dict[str, Any] = {"is_connected": True, "stored_bits": 800, "filled_bits": 900, "next_hops": (B,)}
    return StockFigures(LinkId("a.c"), C, is_relayed=True, **{**figures, **more})


def figures(*stocks: StockFigures, **more: Any) -> NodeFigures:
    """Site a with these stocks and the applications of `policy`."""
    words: dict[str, Any] = {"apps": associations(policy()), **more}
    return NodeFigures(A, "poliqi 1", NodeStatus.OPERATING, stocks, **words)


def tree(*stocks: StockFigures, **more: Any) -> dict[str, Any]:
    """The qkd_node of `figures`, as JSON."""
    return told(qkd_node(figures(*stocks, **more)))[f"{MODULE}:qkd_node"]
