"""A receipt in words, in English and in Italian; its file, which counts, is in no language."""

from __future__ import annotations

from typing import Final

from poliqi.apps.share.receipt import COMPUTATIONAL, Receipt
from poliqi.apps.stream.terms import Mode
from poliqi.control.lines import Language

__all__ = ["WORDS", "receipt_lines"]

WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": (
        "Receipt: {receiver} has received {name!r} from {sender}",
        "Ricevuta: {receiver} ha ricevuto {name!r} da {sender}",
    ),
    "simulated": (
        "SIMULATED LIGHT: these keys protect nothing.",
        "LUCE SIMULATA: queste chiavi non proteggono nulla.",
    ),
    "when": (
        "received {received} (begun {begun}), by the receiver's clock; the sender's was {skew} apart",
        "ricevuto {received} (iniziato {begun}), per l'orologio del ricevente; quello del mittente distava {skew}",
    ),
    "what": (
        "{files} files, {folders} folders, {size} bytes; SHA-256 of the manifest {manifest}",
        "{files} file, {folders} cartelle, {size} byte; SHA-256 del manifesto {manifest}",
    ),
    "left": ("{count} files were left out by the sender", "{count} file tralasciati dal mittente"),
    "stored": ("stored as {name!r}", "salvato come {name!r}"),
    "how": ("mode {mode}, policy {policy}; {epsilon}", "modo {mode}, politica {policy}; {epsilon}"),
    "pqc": (
        "NO QUANTUM KEY: all or part of it went under post-quantum cryptography alone.",
        "NESSUNA CHIAVE QUANTISTICA: tutto o in parte ha viaggiato solo sotto crittografia post-quantistica.",
    ),
    "nothing": ("protects nothing", "non protegge nulla"),
    "proven": ("fails with probability at most {epsilon:.3g}", "fallisce con probabilità al più {epsilon:.3g}"),
    "computational": ("computational security", "sicurezza computazionale"),
    "unproven": ("no proof: the site tells no epsilon", "nessuna prova: il sito non dichiara epsilon"),
    "keys": ("stream {number}: {keys} keys ({grades})", "flusso {number}: {keys} chiavi ({grades})"),
    "key": ("    {key_id}", "    {key_id}"),
    "more": ("    and {count} more", "    e altre {count}"),
    "earlier": ("{count} more streams before the last", "altri {count} flussi prima dell'ultimo"),
    "direct fibre": ("direct fibre", "fibra diretta"),
    "disjoint paths": ("disjoint paths", "cammini disgiunti"),
    "relayed": ("relayed", "inoltrata"),
    "not told": ("way not told", "percorso non dichiarato"),
    "transfer": ("transfer {transfer}", "trasferimento {transfer}"),
    "fingerprints": (
        "fingerprints: sender {sender}, receiver {receiver}",
        "impronte: mittente {sender}, ricevente {receiver}",
    ),
}
"""Every word of a receipt: English, Italian."""

_KEYS_SHOWN: Final = 8


def _say(key: str, language: Language, **values: object) -> str:
    return WORDS[key][language is Language.ITALIAN].format(**values)


def receipt_lines(r: Receipt, language: Language = Language.ENGLISH) -> list[str]:
    """For a terminal, a page or a printer."""
    w = language
    lines = [_say("title", w, receiver=r.receiver, name=r.name, sender=r.sender)]
    if r.simulated:
        lines.append(_say("simulated", w))
    skew = f"{r.clock_skew_s:+.3f} s"
    size = f"{r.size_bytes:,}".replace(",", " ")
    lines += [
        _say("when", w, received=r.received, begun=r.begun, skew=skew),
        _say("what", w, files=r.files, folders=r.folders, size=size, manifest=r.manifest_sha256),
    ]
    if r.left_out:
        lines.append(_say("left", w, count=r.left_out))
    if Mode.PQC.value in r.mode.split(" and "):
        lines.append(_say("pqc", w))
    proven = _say("nothing", w) if r.simulated else _epsilon(r.epsilon, w)
    lines += [
        _say("stored", w, name=r.stored_as),
        _say("how", w, mode=r.mode, policy=r.policy, epsilon=proven),
    ]
    for number, stream in enumerate(r.streams, 1):
        grades = ", ".join(
            f"{g.keys} {g.grade}, {g.origin}, {_say(g.knowledge, w) if g.knowledge in WORDS else g.knowledge}"
            for g in stream.grades
        )
        lines.append(_say("keys", w, number=number, keys=stream.keys, grades=grades or "-"))
        lines += [_say("key", w, key_id=key_id) for key_id in stream.key_ids[:_KEYS_SHOWN]]
        if stream.keys > _KEYS_SHOWN:
            lines.append(_say("more", w, count=stream.keys - _KEYS_SHOWN))
    if r.earlier_streams:
        lines.append(_say("earlier", w, count=r.earlier_streams))
    lines += [
        _say("transfer", w, transfer=r.transfer),
        _say("fingerprints", w, sender=r.sender_fingerprint, receiver=r.receiver_fingerprint),
    ]
    return lines


def _epsilon(epsilon: float | str, w: Language) -> str:
    if isinstance(epsilon, str):
        return _say("computational" if epsilon == COMPUTATIONAL else "unproven", w)
    return _say("proven", w, epsilon=epsilon)
