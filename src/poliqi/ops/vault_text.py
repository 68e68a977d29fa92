"""Secrets of a vault, and the key that they need, as people and programs read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from poliqi.apps.settings import SaeSettings
from poliqi.apps.vault.catalogue import Phase, Record
from poliqi.apps.vault.owner import Need
from poliqi.apps.vault.reading import Reading

__all__ = ["need_line", "need_record", "record_lines", "record_of", "trouble"]


def need_line(need: Need) -> str:
    """The key that something takes towards a site, and when it is there."""
    if need.why:
        return f"{need.place}: {need.why}"
    if need.outlook is None:
        return f"{need.place}: needs no key"
    o = need.outlook
    text = f"{need.place}: needs {_size(o.needed_bytes)} of key, {_size(o.available_bytes)} are there"
    if o.refusal:
        return f"{text}, but they are refused: {o.refusal}"
    if o.seconds == 0:
        return f"{text}: available now"
    if o.seconds is None:
        return f"{text}: nobody can say when the rest will be"
    return f"{text}: available in {o.seconds:.0f} s"


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def need_record(need: Need) -> dict[str, Any]:
    """The same for programs."""
    if need.outlook is None:
        return {"site": need.place, "needed_bytes": 0, "why": need.why}
    o = need.outlook
    return {
        "site": need.place,
        "needed_bytes": o.needed_bytes,
        "available_bytes": o.available_bytes,
        "seconds": o.seconds,
        "refusal": o.refusal,
    }


def record_of(settings: SaeSettings, record: Record) -> dict[str, Any]:
    """A secret for programs."""
    return {
        "name": record.name,
        "record": record.record.hex(),
        "phase": record.phase,
        "bytes": record.size,
        "threshold": record.threshold,
        "epoch": record.epoch,
        "since": record.since_s,
        "renewed": record.renewed_s,
        "readers": record.readers,
        "sites": [
            {
                "site": _place(settings, site.sae),
                "epoch": site.told,
                "knowledge": "here" if site.note is None else site.note.knowledge.value,
                "hybrid": site.note is not None and site.note.is_hybrid,
                "epsilon": None if site.note is None else site.note.epsilon,
                "simulated": site.note is not None and site.note.is_simulated,
                "pad": None if site.note is None else site.note.text,
            }
            for site in record.sites
        ],
    }


def record_lines(settings: SaeSettings, record: Record) -> list[str]:
    """A secret for people: where its shares are, and who could know the pads that they came under."""
    when = datetime.fromtimestamp(record.renewed_s, UTC).strftime("%Y-%m-%d %H:%M")
    head = (
        f"{record.name}  {record.size:,} bytes, any {record.threshold} of {record.count}, {record.phase}, "
        f"epoch {record.epoch} of {when} UTC"
    )
    pads = [(site, "never travelled" if site.note is None else site.note.text) for site in record.sites]
    behind = [" (has not heard of this epoch)" if site.told != record.epoch else "" for site in record.sites]
    lines = [f"  {_place(settings, s.sae)}: pad {text}{old}" for (s, text), old in zip(pads, behind, strict=True)]
    if record.phase is Phase.KEPT:
        lines.insert(0, f"  id {record.record.hex()}: gets it back without this catalogue")
    return [head, *lines]


def _place(settings: SaeSettings, sae: str) -> str:
    peer = settings.peer(sae)
    return "here" if sae == settings.sae else sae if peer is None else peer.place


def trouble(reading: Reading) -> list[str]:
    """Sites that lied or were silent while a secret was read."""
    lines = [f"  {name} LIES about its share; replace it with `renew --sites`" for name in sorted(reading.lying)]
    return [*lines, *(f"  {name} gave nothing: {why}" for name, why in sorted(reading.silent.items()))]
