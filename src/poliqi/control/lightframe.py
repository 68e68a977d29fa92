"""What a link's end tells its site of its light (docs/spec/ingest.md): one frame, pure bytes in and out."""

from __future__ import annotations

import math
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from poliqi.base.errors import ProtocolError
from poliqi.control.messages import Decibel, LightState, LinkReport, Natural, Positive, Share

__all__ = ["LIGHT", "MOST_LIGHT_BYTES", "decode_light", "encode_light", "is_light"]

LIGHT: Final = "light"
"""How the frame is called in a site's hello, and its first field."""

MOST_LIGHT_BYTES: Final = 4096
_VERSION: Final = 1
_MOST_REASON: Final = 512
_MOST_EVIDENCE: Final = 240
_MOST_NAME: Final = 32
_LINK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MARK: Final = msgspec.msgpack.encode(LIGHT)


class _Light(msgspec.Struct, array_like=True, frozen=True, tag=LIGHT):
    """Later versions may append fields."""

    version: int
    link: str
    state: LightState
    key_rate_bps: Positive | None
    qber_key: Share | None
    qber_test: Share | None
    loss_db: Decibel | None
    noise: Share | None
    epsilon: Share | None
    blocks: Natural
    age_s: Positive
    reason: Annotated[str, Meta(max_length=_MOST_REASON)]
    is_simulated: bool = False
    verdict: Annotated[str, Meta(max_length=_MOST_NAME)] = ""
    attack: Annotated[str, Meta(max_length=_MOST_NAME)] = ""
    evidence: Annotated[str, Meta(max_length=_MOST_EVIDENCE)] = ""
    is_quarantined: bool = False


_DECODER: Final = msgspec.msgpack.Decoder(_Light)
_ENCODER: Final = msgspec.msgpack.Encoder()
_BAD: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


def is_light(frame: bytes) -> bool:
    """Whether a frame says of itself that it tells of light; a block begins with a number."""
    after = 3 if frame[:1] == b"\xdc" else 1
    return frame[after : after + len(_MARK)] == _MARK


def encode_light(report: LinkReport) -> bytes:
    """The frame of a report. Its texts are cut where they are too long."""
    r = report
    figures = (r.key_rate_bps, r.qber_key, r.qber_test, r.loss_db, r.noise, r.epsilon)
    return _ENCODER.encode(
        _Light(
            _VERSION,
            r.link,
            r.state,
            *figures,
            r.blocks,
            r.age_s,
            _printable(r.reason[:_MOST_REASON]),
            r.is_simulated,
            _printable(r.verdict[:_MOST_NAME]),
            _printable(r.attack[:_MOST_NAME]),
            _printable(r.evidence[:_MOST_EVIDENCE]),
            r.is_quarantined,
        )
    )


def decode_light(frame: bytes) -> LinkReport:
    """Read a report. Raises ProtocolError."""
    if len(frame) > MOST_LIGHT_BYTES:
        raise ProtocolError(f"a report of light of {len(frame)} bytes; {MOST_LIGHT_BYTES} are allowed")
    try:
        told = _DECODER.decode(frame)
    except _BAD as error:
        raise ProtocolError(f"not a report of light: {type(error).__name__} in {len(frame)} bytes") from None
    if told.version != _VERSION:
        raise ProtocolError(f"a report of light of version {told.version}; this site takes version {_VERSION}")
    if not _LINK.fullmatch(told.link):
        raise ProtocolError("a report of a link whose name is not 1 to 64 of A-Z a-z 0-9 . _ -")
    figures = (told.key_rate_bps, told.qber_key, told.qber_test, told.loss_db, told.noise, told.epsilon)
    if not all(math.isfinite(figure) for figure in (*figures, told.age_s) if figure is not None):
        raise ProtocolError(f"a report of link {told.link} with a figure that is no number")
    return LinkReport(
        link=told.link,
        state=told.state,
        key_rate_bps=told.key_rate_bps,
        qber_key=told.qber_key,
        qber_test=told.qber_test,
        loss_db=told.loss_db,
        noise=told.noise,
        epsilon=told.epsilon,
        blocks=told.blocks,
        age_s=told.age_s,
        reason=_printable(told.reason),
        is_simulated=told.is_simulated,
        verdict=_printable(told.verdict),
        attack=_printable(told.attack),
        evidence=_printable(told.evidence),
        is_quarantined=told.is_quarantined,
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
