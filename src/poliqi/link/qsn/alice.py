"""The transmitter of an emulated QSN-d-1 (docs/spec/qsn-d-1.md has the table of its states)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ProtocolError
from poliqi.base.secret import Entropy, SecretBytes
from poliqi.link.qsn.correction import amplify, check_value, parities, secret_bits
from poliqi.link.qsn.light import MOST_BATCHES, SimulatedLight
from poliqi.link.qsn.making import MOST_QBER, PARTNER_S, KeyDiscarded, MakerNews, NewKey, tested_and_kept
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

__all__ = ["Alice"]

_NO_BITS: Final = np.zeros(0, dtype=np.uint8)


class _State(StrEnum):
    IDLE = "idle"
    SENDING = "sending"
    SIFTED = "sifted"
    CORRECTING = "correcting"


class Alice:
    """Makes keys one after the other, `pause_s` apart, while `begin` is called; a `poliqi.link.qsn.making.Maker`.

    IDs and the public seeds of amplification come from `entropy`, the light from `light`.
    """

    def __init__(self, light: SimulatedLight, batch: int, entropy: Entropy, pause_s: float) -> None:
        self._light: Final = light
        self._batch: Final = batch
        self._entropy: Final = entropy
        self._pause_s: Final = pause_s
        self._state = _State.IDLE
        self._key_id = ""
        self._bits: NDArray[np.uint8] = _NO_BITS
        self._tested: float | None = None
        self._revealed = 0
        self._due = 0.0
        self._may_begin = False
        self._output: list[PartnerMessage] = []
        self._news: list[MakerNews] = []
        self.qber = 0.0

    def allow(self, *, begin: bool) -> None:
        """Whether another key may be begun: the partner is there and the store has room."""
        self._may_begin = begin

    def tick(self, now: float) -> None:
        """Begin the next key, or give up one of which nothing is heard."""
        if now < self._due:
            return
        if self._state is not _State.IDLE:
            self.abandon(f"nothing came from the partner for {PARTNER_S:g} s", now)
        elif self._may_begin:
            self._key_id = str(UUID(bytes=self._entropy.draw(16), version=4))
            self._send(Start(self._key_id), _State.SENDING, now)

    def next_timeout(self) -> float | None:
        """When the next key is due, or when silence has lasted too long."""
        return self._due if self._may_begin or self._state is not _State.IDLE else None

    def abandon(self, reason: str, now: float) -> None:
        """Give up the key that is being made, without a word to the partner."""
        if self._state is not _State.IDLE:
            self._news.append(KeyDiscarded(self._key_id, reason))
            self._rest(now)

    def receive(self, message: PartnerMessage, now: float) -> bool:
        """Act on a message; whether it was one for now. What contradicts itself discards the key."""
        if message.ID.lower() != self._key_id:
            return False
        try:
            return self._act(message, now)
        except ProtocolError as error:
            self._discard(str(error), now)
            return True

    def _act(self, message: PartnerMessage, now: float) -> bool:
        match self._state, message:
            case _State.SENDING, BasisComparison():
                self._sift(message, now)
            case _State.SIFTED, BerTest():
                self._test(message, now)
            case _State.CORRECTING, ParityRequest():
                self._tell(message, now)
            case _State.CORRECTING, KeyCheck():
                self._finish(message, now)
            case _:
                return False
        return True

    def _sift(self, message: BasisComparison, now: float) -> None:
        index, settings = np.asarray(message.index, dtype=np.int64), np.asarray(message.basi, dtype=np.uint8)
        if index.size != settings.size or not index.size:
            raise ProtocolError(f"QSN-d-1: Confronto basi: {index.size} gates with {settings.size} settings")
        if int(index[-1]) >= MOST_BATCHES * self._batch or bool((np.diff(index) <= 0).any()):
            raise ProtocolError("QSN-d-1: Confronto basi: gates that do not ascend, or were never sent")
        states = self._sent(index)
        equal = states >> 1 == settings >> 1
        self._bits = (states[equal] & 1).astype(np.uint8)
        self._send(SiftedKey(self._key_id, equal.astype(np.uint8).tolist()), _State.SIFTED, now)

    def _sent(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """States of these gates, drawn again batch by batch."""
        states = np.empty(index.size, dtype=np.uint8)
        batches = index // self._batch
        for number in np.unique(batches).tolist():
            within = batches == number
            sent = self._light.sent(self._key_id, number, self._batch)
            states[within] = sent[index[within] - number * self._batch]
        return states

    def _test(self, message: BerTest, now: float) -> None:
        self.qber, self._bits = tested_and_kept(self._bits, message)
        self._tested, self._revealed = self.qber, 0
        if self.qber > MOST_QBER:
            self._discard(f"QBER {self.qber:.3f} is above {MOST_QBER}", now)
        elif not self._bits.size:
            self._discard("too few sifted bits for a block", now)
        else:
            self._send(ValidKey(self._key_id, self.qber), _State.CORRECTING, now)

    def _tell(self, message: ParityRequest, now: float) -> None:
        self._revealed += len(message.ranges)
        if self._revealed > self._bits.size:
            raise ProtocolError("QSN-d-1: Cascade: more parities were asked than there are bits")
        told = parities(self._bits, self._key_id, message.number, message.ranges)
        self._send(Parities(self._key_id, told), _State.CORRECTING, now)

    def _finish(self, message: KeyCheck, now: float) -> None:
        length = secret_bits(self._bits.size, self.qber, self._revealed)
        if message.crc != check_value(self._bits):
            self._discard("the CRC of the two ends differs", now)
        elif not length:
            self._discard("correction revealed too much, no bit is left", now)
        else:
            seed = self._entropy.draw((self._bits.size + length + 6) // 8)
            key = SecretBytes(amplify(self._bits, seed, length))
            self._output.append(PrivacyAmplification(self._key_id, length, list(seed)))
            self._news.append(NewKey(self._key_id, key, self.qber))
            self._rest(now)

    def _discard(self, reason: str, now: float) -> None:
        """Tell the partner too; before the bits were tested the error rate is said to be 1."""
        tested = self._tested
        self._output.append(DiscardKey(self._key_id, 1.0 if tested is None else tested))
        self._news.append(KeyDiscarded(self._key_id, reason, tested))
        self._rest(now)

    def _send(self, message: PartnerMessage, state: _State, now: float) -> None:
        self._output.append(message)
        self._state, self._due = state, now + PARTNER_S

    def _rest(self, now: float) -> None:
        self._bits[:] = 0
        self._state, self._bits, self._tested = _State.IDLE, _NO_BITS, None
        self._key_id, self._due = "", now + self._pause_s

    def take_output(self) -> list[PartnerMessage]:
        """What Bob is to be told."""
        output, self._output = self._output, []
        return output

    def take_news(self) -> list[MakerNews]:
        """Keys made and given up."""
        news, self._news = self._news, []
        return news
