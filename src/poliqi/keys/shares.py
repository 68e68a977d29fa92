"""Secret sharing, byte by byte: all of n shares by exclusive or, any k of n by Shamir's polynomials.

Shamir's scheme (Communications of the ACM 22, 612, 1979) over GF(2^8) with the polynomial x^8+x^4+x^3+x+1 of
FIPS 197, section 4.2; the secret is the value at zero, share i the value at i. Secret bytes are only shifted,
masked and added, never used as an index: the running time depends on sizes and on share numbers, which are public.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from poliqi.base.secret import Entropy
from poliqi.keys.onetime import xor_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Octets = NDArray[np.uint8]

__all__ = [
    "MAX_SHARES",
    "Candidate",
    "candidates",
    "join_shamir",
    "join_xor",
    "shamir_at",
    "split_shamir",
    "split_xor",
]

MAX_SHARES: Final = 8
_FIELD: Final = 0x11B
_GLANCE: Final = 64


def split_xor(secret: bytes, count: int, entropy: Entropy) -> list[bytes]:
    """`count` shares whose sum is the secret; any `count` - 1 of them are independent of it."""
    if not 1 <= count <= MAX_SHARES:
        raise ValueError(f"{count} shares: from 1 to {MAX_SHARES} are possible")
    drawn = [entropy.draw(len(secret)) for _ in range(count - 1)]
    return [*drawn, join_xor([secret, *drawn])]


def join_xor(shares: Sequence[bytes | memoryview]) -> bytes:
    """The sum of all shares. Raises ValueError where they differ in size or there is none."""
    sizes = {len(share) for share in shares}
    if len(sizes) != 1:
        raise ValueError(
            f"shares of {[len(share) for share in shares]} bytes cannot be joined: give some of one size"
        )
    total = bytes(shares[0])
    for share in shares[1:]:
        total = xor_bytes(total, share)
    return total


def split_shamir(secret: bytes, threshold: int, count: int, entropy: Entropy) -> list[bytes]:
    """The shares number 1 to `count`: values there of random polynomials of degree `threshold` - 1."""
    if not 2 <= threshold <= count <= MAX_SHARES:
        raise ValueError(
            f"{threshold} of {count} shares: the threshold is from 2 to their number, at most {MAX_SHARES}"
        )
    coefficients = [secret, *(entropy.draw(len(secret)) for _ in range(threshold - 1))]
    shares: list[bytes] = []
    for place in range(1, count + 1):
        value = _octets(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = _times(value, place) ^ _octets(coefficient)
        shares.append(value.tobytes())
    return shares


def join_shamir(shares: Mapping[int, bytes | memoryview]) -> bytes:
    """The secret, from as many shares (by their number) as the threshold. Raises ValueError as `shamir_at`."""
    return shamir_at(shares, 0)


def shamir_at(shares: Mapping[int, bytes | memoryview], place: int) -> bytes:
    """The value at `place` of the polynomials of least degree through `shares` (Lagrange's formula).

    Raises ValueError where there are no shares, sizes differ or a number is not from 1 to 255.
    """
    import numpy as np

    sizes = {len(share) for share in shares.values()}
    if len(sizes) != 1 or not all(1 <= number <= 255 for number in shares):
        raise ValueError(f"shares {sorted(shares)} of {sorted(sizes)} bytes cannot be joined")
    total = np.zeros(sizes.pop(), np.uint8)
    for number, share in shares.items():
        weight = 1
        for other in shares:
            if other != number:
                weight = _product(weight, _product(place ^ other, _inverse(number ^ other)))
        total ^= _times(_octets(share), weight)
    return total.tobytes()


class Candidate(NamedTuple):
    """A secret that some shares agree on, and the shares that contradict it."""

    secret: bytes
    agreeing: tuple[int, ...]
    odd: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<Candidate of shares {self.agreeing}, contradicted by {self.odd}>"


def candidates(shares: Mapping[int, bytes], threshold: int) -> Iterator[Candidate]:
    """Every secret that `threshold` of the shares give, those that most shares agree on first.

    With n shares of which at most (n - threshold) / 2 are wrong the first is right (the distance of a Reed-Solomon
    code); beyond that only a confirmation from outside can tell. Yields nothing while there are too few shares.
    """
    groups: list[tuple[int, ...]] = []
    for chosen in combinations(sorted(shares), threshold):
        if not any(set(chosen) <= set(group) for group in groups):
            base = {number: shares[number] for number in chosen}
            groups.append(tuple(n for n in sorted(shares) if n in base or _fits(base, n, shares[n])))
    for group in sorted(groups, key=lambda numbers: (-len(numbers), numbers)):
        secret = join_shamir({number: shares[number] for number in group[:threshold]})
        yield Candidate(secret, group, tuple(n for n in sorted(shares) if n not in group))


def _fits(base: Mapping[int, bytes], number: int, share: bytes) -> bool:
    """True where a share lies on the polynomials through `base`; a glance at its head comes first."""
    head = {n: value[:_GLANCE] for n, value in base.items()}
    return shamir_at(head, number) == share[:_GLANCE] and shamir_at(base, number) == share


def _octets(data: bytes | memoryview) -> Octets:
    import numpy as np

    return np.frombuffer(data, np.uint8)


def _times(values: Octets, factor: int) -> Octets:
    """Every value times one public factor: sum of the values times x^i over the bits i of the factor."""
    import numpy as np

    total = np.zeros_like(values)
    power = values
    while factor:
        if factor & 1:
            total ^= power
        factor >>= 1
        if factor:
            power = (power << 1) ^ ((power >> 7) * np.uint8(_FIELD & 0xFF))
    return total


def _product(a: int, b: int) -> int:
    """Of two public field elements."""
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a <<= 1
        a ^= _FIELD if a & 0x100 else 0
        b >>= 1
    return total


@cache
def _inverse(a: int) -> int:
    """a^254, which is 1/a for a public field element that is not zero."""
    result = 1
    for _ in range(254):
        result = _product(result, a)
    return result
