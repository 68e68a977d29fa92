"""Broken on purpose, each in one way, to see that the bench says so. Use neither for anything.

poliqi bench-crypto run examples/encryptors/broken.py --only aes-256-gcm
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poliqi.apps.testbench.seams import Opened
from poliqi.base.errors import AuthenticationError, ProtocolError


class RepeatingEnd:
    """AES-GCM whose nonce is an octet: after 256 records it begins again."""

    def __init__(self, sending, receiving):
        self.sending, self.receiving = AESGCM(bytes(sending.take(32))), AESGCM(bytes(receiving.take(32)))
        self.sent = self.received = 0
        self.is_closed = self.is_ended = False

    def seal(self, plaintext, out, *, is_final=False):
        if self.is_closed or len(plaintext) > 1 << 20:
            raise ValueError("closed, or too long")
        record = bytes([is_final]) + self.sending.encrypt(
            bytes(11) + bytes([self.sent % 256]), bytes(plaintext), bytes([is_final])
        )
        out[: len(record)] = record
        self.sent += 1
        self.is_closed = is_final
        return len(record)

    def open(self, record, out):
        if self.is_ended or len(record) < 17 or record[0] > 1:
            raise ProtocolError("this is no record")
        nonce = bytes(11) + bytes([self.received % 256])
        try:
            plaintext = self.receiving.decrypt(nonce, bytes(record[1:]), bytes(record[:1]))
        except InvalidTag:
            raise AuthenticationError("this is not the next record") from None
        out[: len(plaintext)] = plaintext
        self.received += 1
        self.is_ended = record[0] == 1
        return Opened(len(plaintext), self.is_ended)


class RepeatingNonce:
    name = "broken: nonce repeats"
    description = "AES-256-GCM with a nonce of one octet"
    overhead_bytes = 17
    largest_bytes = 1 << 20

    def open_end(self, side, sending, receiving):  # noqa: ARG002  # each direction has a key of its own
        return RepeatingEnd(sending, receiving)


class UnauthenticatedEnd:
    """AES-CTR and nothing more: whoever changes a bit on the way changes it in the plaintext."""

    def __init__(self, sending, receiving):
        self.streams = [
            Cipher(algorithms.AES256(bytes(supply.take(32))), modes.CTR(bytes(16))).encryptor()
            for supply in (sending, receiving)
        ]

    def seal(self, plaintext, out, *, is_final=False):
        if len(plaintext) > 1 << 20:
            raise ValueError("too long")
        data = self.streams[0].update(bytes([is_final]) + bytes(plaintext))
        out[: len(data)] = data
        return len(data)

    def open(self, record, out):
        data = self.streams[1].update(bytes(record))
        out[: len(data) - 1] = data[1:]
        return Opened(len(data) - 1, data[0] == 1)


class Unauthenticated:
    name = "broken: no authentication"
    description = "AES-256-CTR alone"
    overhead_bytes = 1
    largest_bytes = 1 << 20

    def open_end(self, side, sending, receiving):  # noqa: ARG002  # each direction has a key of its own
        return UnauthenticatedEnd(sending, receiving)


CANDIDATES = (RepeatingNonce(), Unauthenticated())
