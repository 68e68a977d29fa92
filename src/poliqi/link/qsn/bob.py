"""The receiver of an emulated QSN-d-1 (docs/spec/qsn-d-1.md has the table of its states)."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import SecretBytes
from poliqi.link.qsn.correction import Correction, amplify, check_value
from poliqi.link.qsn.light import MOST_BATCHES, LightSettings, SimulatedLight
from poliqi.link.qsn.making import PARTNER_S, KeyDiscarded, MakerNews, NewKey, tested_and_kept
from poliqi.link.qsn.partner import (
    BasisComparison,
    BerTest,
    DiscardKey,
    KeyCheck,
    Parities,
    ParityRequest,
    PartnerMessage,
    PrivacyAmplification,
    SiftedKey,
    Start,
    ValidKey,
)

__all__ = ["TESTED_SHARE", "Bob", "photons_wanted"]

TESTED_SHARE: Final = 0.125
_SIGMAS: Final = 6.0
_BASIS: Final = 2  # what of a setting is published: naming its bit would name the key's

Column = NDArray[np.uint8]


class _State(StrEnum):
    IDLE = "idle"
    RECEIVING = "receiving"
    COMPARED = "compared"
    TESTED = "tested"
    CORRECTING = "correcting"
    CHECKED = "checked"


def photons_wanted(block: int) -> int:
    """Counts c that leave a block of `block` bits: c/2 - 6 sqrt(c)/2 of them sift at least, an eighth is tested."""
    sifted = math.ceil(block / (1.0 - TESTED_SHARE)) + 2
    return math.ceil((_SIGMAS / 2.0 + math.sqrt(_SIGMAS**2 / 4.0 + 2.0 * sifted)) ** 2)


class Bob:
    """Makes the keys that Alice starts; a `poliqi.link.qsn.making.Maker`.

    `settings` is asked at each start for the light of that key, `block` for its size in bits. `wrong_check` is how
    much is added to the CRC, for tests of what a failed comparison does.
    """

    def __init__(
        self,
        light: SimulatedLight,
        settings: Callable[[], LightSettings],
        block: Callable[[], int],
        choose: np.random.Generator,
        wrong_check: int = 0,
    ) -> None:
        self._light: Final = light
        self._settings_now: Final = settings
        self._block_now: Final = block
        self._choose: Final = choose
        self._wrong_check: Final = wrong_check
        self._state = _State.IDLE
        self._key_id = ""
        self._settings = settings()
        self._wanted = 0
        self._batches = 0
        self._index: list[NDArray[np.int64]] = []
        self._chosen: list[Column] = []
        self._bits: Column = np.zeros(0, dtype=np.uint8)
        self._correction: Correction | None = None
        self._due = 0.0
        self._output: list[PartnerMessage] = []
        self._news: list[MakerNews] = []
        self.qber = 0.0

    def tick(self, now: float) -> None:
        """Take the next batch, or give up a key of which nothing is heard."""
        if self._state is _State.RECEIVING:
            self._receive_batch(now)
        elif self._state is not _State.IDLE and now >= self._due:
            self.abandon(f"nothing came from the partner for {PARTNER_S:g} s", now)

    def next_timeout(self) -> float | None:
        """At once while light is received, else when silence has lasted too long."""
        return None if self._state is _State.IDLE else self._due

    def abandon(self, reason: str, now: float) -> None:  # noqa: ARG002  # Alice needs the time
        """Give up the key that is being made."""
        if self._state is not _State.IDLE:
            self._news.append(KeyDiscarded(self._key_id, reason))
            self._rest()

    def receive(self, message: PartnerMessage, now: float) -> bool:
        """Act on a message; whether it was one for now. What contradicts itself ends the key."""
        if isinstance(message, Start):
            self.abandon("the partner started another", now)
            self._begin(message.ID.lower(), now)
            return True
        if message.ID.lower() != self._key_id:
            return False
        try:
            return self._act(message, now)
        except ProtocolError as error:
            self.abandon(str(error), now)
            return True

    def _act(self, message: PartnerMessage, now: float) -> bool:
        match self._state, message:
            case _State.COMPARED, SiftedKey():
                self._test(message, now)
            case _State.TESTED, ValidKey():
                self.qber = message.BER
                self._correction = Correction(self._key_id, self._bits, message.BER)
                self._correct(self._correction, now)
            case _State.CORRECTING, Parities() if self._correction is not None:
                self._correction.told(message.parities)
                self._correct(self._correction, now)
            case _State.CHECKED, PrivacyAmplification():
                key = SecretBytes(amplify(self._bits, bytes(message.seed), message.bits))
                self._news.append(NewKey(self._key_id, key, self.qber))
                self._rest()
            case ((_State.COMPARED | _State.TESTED | _State.CORRECTING | _State.CHECKED), DiscardKey()):
                self.qber = message.BER if self._state is _State.TESTED else self.qber
                self._news.append(KeyDiscarded(self._key_id, "the partner discarded it", message.BER))
                self._rest()
            case _:
                return False
        return True

    def _begin(self, key_id: str, now: float) -> None:
        self._key_id, self._state, self._due = key_id, _State.RECEIVING, now
        self._settings, self._wanted = self._settings_now(), photons_wanted(self._block_now())
        self._batches, self._index, self._chosen = 0, [], []

    def _receive_batch(self, now: float) -> None:
        chosen, counts = self._light.received(self._key_id, self._batches, self._settings)
        gates = np.flatnonzero(counts)
        self._index.append(gates + self._batches * self._settings.batch)
        self._chosen.append(chosen[gates])
        self._batches += 1
        if sum(part.size for part in self._index) >= self._wanted:
            self._chosen = [np.concatenate(self._chosen)[: self._wanted]]
            index = np.concatenate(self._index)[: self._wanted].tolist()
            bases = (self._chosen[0] & _BASIS).tolist()
            self._send(BasisComparison(self._key_id, index, bases), _State.COMPARED, now)
        elif self._batches >= MOST_BATCHES:
            counted = sum(part.size for part in self._index)
            self.abandon(f"{counted} photons in {MOST_BATCHES} batches, {self._wanted} are needed", now)

    def _test(self, message: SiftedKey, now: float) -> None:
        chosen, equal = self._chosen[0], np.asarray(message.confronto, dtype=bool)
        if equal.size != chosen.size:
            raise ProtocolError(f"QSN-d-1: Sifted key: {equal.size} answers for {chosen.size} gates")
        bits = (chosen[equal] & 1).astype(np.uint8)
        count = int(bits.size * TESTED_SHARE)
        if not count:
            raise ProtocolError("QSN-d-1: Sifted key: hardly a basis agrees, so no bit can be tested")
        places = np.sort(self._choose.choice(bits.size, count, replace=False))
        test = BerTest(self._key_id, places.tolist(), bits[places].tolist())
        _, self._bits = tested_and_kept(bits, test)
        self._send(test, _State.TESTED, now)

    def _correct(self, correction: Correction, now: float) -> None:
        wanted = correction.ask()
        if wanted is not None:
            self._send(ParityRequest(self._key_id, *wanted), _State.CORRECTING, now)
            return
        self._bits, self._correction = correction.bits, None
        crc = (check_value(self._bits) + self._wrong_check) & 0xFFFFFFFF
        self._send(KeyCheck(self._key_id, crc), _State.CHECKED, now)

    def _send(self, message: PartnerMessage, state: _State, now: float) -> None:
        self._output.append(message)
        self._state, self._due = state, now + PARTNER_S

    def _rest(self) -> None:
        self._bits[:] = 0
        self._state, self._key_id, self._correction = _State.IDLE, "", None
        self._index, self._chosen, self._bits = [], [], np.zeros(0, dtype=np.uint8)

    def take_output(self) -> list[PartnerMessage]:
        """What Alice is to be told."""
        output, self._output = self._output, []
        return output

    def take_news(self) -> list[MakerNews]:
        """Keys made and given up."""
        news, self._news = self._news, []
        return news
