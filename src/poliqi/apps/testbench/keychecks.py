"""Conformance of a key source: both ends are given the same keys, each once, in the sizes asked for."""

from __future__ import annotations

from typing import Final

from poliqi.apps.keysource import Key
from poliqi.apps.testbench.checking import Check, NotSeen, Wrong
from poliqi.apps.testbench.seams import KeyPair, KeyPlaces
from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted

__all__ = ["KEY_CHECKS"]

_SIZE_BYTES: Final = 32
_MOST_DRAWN_BYTES: Final = 1 << 20
_UNKNOWN: Final = "00000000-0000-4000-8000-000000000000"


def _fresh(pair: KeyPair, number: int = 1, size_bytes: int = _SIZE_BYTES) -> list[Key]:
    keys = pair.master.fresh(pair.slave_sae, number, size_bytes)
    if len(keys) != number:
        raise Wrong(f"{number} keys were asked for and {len(keys)} given")
    for key in keys:
        if len(key.value) != size_bytes:
            raise Wrong(f"a key of {len(key.value)} bytes was given, asked for were {size_bytes}")
    return keys


def _named(pair: KeyPair, *key_ids: str) -> list[Key]:
    return pair.slave.named(pair.master_sae, key_ids)


def both_ends(places: KeyPlaces) -> str:
    """What the one draws the other gets by name, in the order of the names."""
    with places.open_pair() as pair:
        number = max(1, min(8, pair.master.supply(pair.slave_sae).most_number))
        drawn = _fresh(pair, number)
        names = [key.key_id for key in reversed(drawn)]
        got = _named(pair, *names)
        if [key.key_id for key in got] != names:
            raise Wrong("keys asked for by name come in another order, or with other names")
        for key, other in zip(got, reversed(drawn), strict=True):
            if key.value != other.value:
                raise Wrong("the two ends were given different bits under one name")
    return f"{number} keys"


def single_delivery(places: KeyPlaces) -> str:
    """A name gives its key once, also where it stands twice in a question."""
    with places.open_pair() as pair:
        key = _fresh(pair)[0]
        _named(pair, key.key_id)
        if not _is_refused(pair, key.key_id):
            raise Wrong("a key is given twice under its name")
        if pair.master.supply(pair.slave_sae).most_number > 1:
            key = _fresh(pair)[0]
            if not _is_refused(pair, key.key_id, key.key_id):
                raise Wrong("a name that stands twice in a question gives its key twice")
    return "each name once"


def unknown_name(places: KeyPlaces) -> str:
    """A name that nobody gave is refused; and a question with one such name uses up nothing."""
    with places.open_pair() as pair:
        if not _is_refused(pair, _UNKNOWN):
            raise Wrong("a key is given under a name that nobody was told")
        if pair.master.supply(pair.slave_sae).most_number > 1:
            key = _fresh(pair)[0]
            if not _is_refused(pair, key.key_id, _UNKNOWN):
                raise Wrong("a question with an unknown name is answered in part")
            if _named(pair, key.key_id)[0].value != key.value:
                raise Wrong("after a refused question the key is another one")
    return "refused, and nothing is used up"


def _is_refused(pair: KeyPair, *key_ids: str) -> bool:
    try:
        _named(pair, *key_ids)
    except DataRefused:
        return True
    return False


def sizes(places: KeyPlaces) -> str:
    """The smallest and the largest size, the largest number, and nothing beyond."""
    with places.open_pair() as pair:
        supply = pair.master.supply(pair.slave_sae)
        number = min(supply.most_number, max(1, _MOST_DRAWN_BYTES // supply.least_bytes))
        for size in (supply.least_bytes, supply.most_bytes):
            for key in _fresh(pair, 1, size):
                _named(pair, key.key_id)
        _fresh(pair, number, supply.least_bytes)
        for count, size in (
            (1, supply.most_bytes + 1),
            (1, supply.least_bytes - 1),
            (supply.most_number + 1, supply.least_bytes),
            (0, supply.least_bytes),
        ):
            _refuses_beyond(pair, count, size)
    return f"{supply.least_bytes} to {supply.most_bytes} bytes, up to {supply.most_number} keys"


def _refuses_beyond(pair: KeyPair, number: int, size_bytes: int) -> None:
    try:
        pair.master.fresh(pair.slave_sae, number, size_bytes)
    except ConfigError:
        return
    raise Wrong(f"{number} keys of {size_bytes} bytes are given, and that is beyond what `supply` says")


def no_repetition(places: KeyPlaces) -> str:
    """No bits and no name twice."""
    with places.open_pair() as pair:
        step = min(64, pair.master.supply(pair.slave_sae).most_number)
        drawn = [key for _ in range(4) for key in _fresh(pair, step)]
    if len({key.key_id for key in drawn}) < len(drawn):
        raise Wrong(f"among {len(drawn)} keys a name stands twice")
    if len({bytes(key.value.view()) for key in drawn}) < len(drawn):
        raise Wrong(f"among {len(drawn)} keys two have the same bits")
    return f"{len(drawn)} keys"


def exhaustion(places: KeyPlaces) -> str:
    """Where stock ends, KeysNotReady says so, and what is left is still there for a smaller question."""
    with places.open_pair() as pair:
        supply = pair.master.supply(pair.slave_sae)
        size, most = supply.most_bytes, supply.most_number
        if supply.available_bytes > _MOST_DRAWN_BYTES:
            raise NotSeen(
                f"{supply.available_bytes >> 20} MiB are in stock: give it less than 1 MiB to see its end"
            )
        drawn_bytes = 0
        while drawn_bytes <= supply.available_bytes + _MOST_DRAWN_BYTES:
            try:
                _fresh(pair, most, size)
                drawn_bytes += most * size
            except KeyExhausted:
                if most == 1 and size == supply.least_bytes:
                    return "says so"
                most, size = (most // 2, size) if most > 1 else (1, max(supply.least_bytes, size // 2))
    raise Wrong("more key is given than was in stock, and no end comes")


KEY_CHECKS: Final[tuple[Check[KeyPlaces], ...]] = (
    ("both ends", both_ends),
    ("single delivery", single_delivery),
    ("unknown name", unknown_name),
    ("sizes", sizes),
    ("no repetition", no_repetition),
    ("exhaustion", exhaustion),
)
"""In the order in which they are run and shown."""
