"""AES-256-CTR, then HMAC-SHA-256 over what was encrypted: the worked example of docs/how-to/add-an-encryptor.

poliqi bench-crypto run examples/encryptors/aes_ctr_hmac.py --only aes-256-gcm
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from poliqi.apps.testbench.seams import Opened
from poliqi.base.errors import AuthenticationError, ProtocolError

TAG_BYTES = 32
LARGEST_BYTES = 1 << 20


class Lane:
    """One direction: its two keys, and the number of the next record."""

    def __init__(self, supply):
        # let KeyExhausted through: without key there is no end
        self.cipher_key = bytes(supply.take(32))
        self.mac_key = bytes(supply.take(32))
        self.number = 0
        self.is_ended = False

    def encrypt(self, data, out):
        # each record has 2^64 blocks of keystream of its own: number, then the counter of blocks
        start = self.number.to_bytes(8, "big") + bytes(8)
        cipher = Cipher(algorithms.AES256(self.cipher_key), modes.CTR(start)).encryptor()
        cipher.update_into(data, out)

    def tag(self, sealed):
        """Over the number, which is not sent, and all that is."""
        mac = HMAC(self.mac_key, SHA256())
        mac.update(self.number.to_bytes(8, "big"))
        mac.update(sealed)
        return mac


class End:
    def __init__(self, sending, receiving):
        self.sending, self.receiving = Lane(sending), Lane(receiving)

    def seal(self, plaintext, out, *, is_final=False):
        lane, end = self.sending, 1 + len(plaintext)
        if lane.is_ended or len(plaintext) > LARGEST_BYTES:
            raise ValueError("the final record was sealed already, or this one is too long")
        out[0] = is_final
        lane.encrypt(plaintext, out[1:end])
        out[end : end + TAG_BYTES] = lane.tag(out[:end]).finalize()
        lane.number += 1
        lane.is_ended = is_final
        return end + TAG_BYTES

    def open(self, record, out):
        lane, end = self.receiving, len(record) - TAG_BYTES
        if lane.is_ended or end < 1 or record[0] > 1:
            raise ProtocolError("this is no record, or it comes after the final one")
        sealed = memoryview(record)[:end]
        try:
            lane.tag(sealed).verify(bytes(record[end:]))
        except InvalidSignature:
            raise AuthenticationError("this is not the next record of the other end") from None
        lane.encrypt(sealed[1:], out[: end - 1])
        lane.number += 1
        lane.is_ended = record[0] == 1
        return Opened(end - 1, lane.is_ended)


class AesCtrHmac:
    name = "aes-ctr-hmac"
    description = "AES-256-CTR, then HMAC-SHA-256 (encrypt, then MAC)"
    overhead_bytes = 1 + TAG_BYTES
    largest_bytes = LARGEST_BYTES

    def open_end(self, side, sending, receiving):  # noqa: ARG002  # each direction has a key of its own
        return End(sending, receiving)


CANDIDATES = (AesCtrHmac(),)
