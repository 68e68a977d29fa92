"""One file of HTML with the view in three dimensions: nothing is fetched, and nothing else may run in it.

Its Content-Security-Policy allows the one script and the one style by their SHA-256, and pictures that stand in the
file. What is written by others (names, settings) is escaped; the scene is JSON in a block that no browser runs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from poliqi.lab.onepage import Page, Panel

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["drawn", "html_bytes"]

_SCRIPTS: Final = ("capsules.js", "camera.js", "view.js")
_INCH: Final = (7.2, 5.4)


def html_bytes(page: Page, scene: Mapping[str, Any], still: bytes, made: Mapping[str, Any] | None = None) -> bytes:
    """The page. `scene`: of `scene_of`; `still`: a PNG for where the view cannot run; `made` is told as JSON."""
    from markupsafe import Markup

    script = "\n".join(_asset(name) for name in _SCRIPTS)
    style = _asset("view.css")
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = _template().render(
        page=page,
        scene=scene,
        policy=policy,
        style=Markup(style),  # noqa: S704  # a file of this package
        script=Markup(script),  # noqa: S704  # files of this package
        scene_json=Markup(_json(scene)),  # noqa: S704  # no < in it
        still=_source("png", still),
        pictures=[_picture(panel) for panel in page.panels],
        made=None if made is None else json.dumps(made, indent=1, sort_keys=True, default=str),
    )
    return text.encode()


def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _asset("page.html")
    )


def _asset(name: str) -> str:
    return files("poliqi.lab.print.view").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Mapping[str, Any]) -> str:
    """JSON that cannot end the block it stands in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _source(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _picture(panel: Panel) -> dict[str, Any]:
    return {"title": panel.title, "is_wide": panel.is_wide, "source": _source("png", drawn(panel))}


def drawn(panel: Panel) -> bytes:
    """One panel as PNG, in the style of all charts."""
    import matplotlib
    from matplotlib.figure import Figure

    from poliqi.base.chartstyle import CHART_STYLE

    style: Any = matplotlib  # its annotations are partial
    wide = 2 if panel.is_wide else 1
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(_INCH[0] * wide, _INCH[1]), layout="constrained")
        axes = figure.subplots()
        panel.draw(axes)
        axes.set_title(panel.title.replace("$", r"\$"), fontsize=10, loc="left")
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=130)
    return out.getvalue()
