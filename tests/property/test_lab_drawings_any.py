"""Whatever stands in a dataset, its drawings are well-formed and its pictures are pictures or nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from poliqi.ops.lab_web.curvechart import drawn_curve
from poliqi.ops.lab_web.figures import figure_type
from poliqi.ops.lab_web.graph import Node, drawn_graph, rows_of

any_float = st.floats(allow_nan=True, allow_infinity=True)
words = st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff"), max_size=60)


@given(st.lists(st.tuples(any_float, any_float, st.floats(0, allow_infinity=True))), words, st.booleans())
def test_any_points_make_a_drawing(points: list[tuple[float, float, float]], name: str, is_log: bool) -> None:
    drawing = str(drawn_curve(points, (name, "I"), name, is_log, 620, 360, "at-wide"))
    found = ET.fromstring(drawing)
    assert found.attrib["aria-label"] == name
    assert "nan" not in drawing.replace(name, "")
    assert "inf" not in drawing.replace(name, "")


@given(st.data())
def test_any_graph_is_drawn_with_each_box_once(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10))
    nodes = [
        Node(
            one,
            "dataset",
            "kind",
            data.draw(words),
            tuple(data.draw(st.lists(st.sampled_from("abcdefghijk"), max_size=4))),
        )
        for one in ids
    ]
    assert sorted(node.id for row in rows_of(nodes) for node in row) == sorted(ids)
    drawing = ET.fromstring(str(drawn_graph(nodes, "a", "simulated")))
    assert len(drawing.findall(".//rect")) == len(ids)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"<svg>{text}".encode(errors="ignore")))
def test_any_bytes_are_a_picture_or_nothing(data: bytes) -> None:
    assert figure_type(data) in (None, "image/png", "image/svg+xml")
