"""WireGuard's preshared key, by wg(8): works alike for wireguard-go and, untested, for the kernel's.

WireGuard mixes the preshared key into a handshake and never looks at it afterwards. So a new one loses no
packet, and nobody uses it before the next handshake, which comes by itself only after two minutes. The one way
to have it at once, without giving up the session, is to set the interface's private key to another one and
back: WireGuard then holds its sessions for used up in the sending direction, asks for a handshake with the next
packet, and keeps packets until it is done; what arrives under the old session is read all the same (wireguard-
go: SetPrivateKey and ExpireCurrentKeypairs; Linux: wg_noise_expire_current_peer_keypairs).
"""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Final

from poliqi.apps.adapters.programs import ask_program, tell_program, tell_twice
from poliqi.apps.adapters.software import KEY_BYTES, PROOF_S
from poliqi.base.errors import ConfigError, LinkDown, PoliqiError
from poliqi.base.secret import Entropy, SecretBytes

__all__ = ["WireGuard"]

_TEXT_BYTES: Final = 44
"""Of a key in base64."""

_LOOK_S: Final = 0.02
_LONGEST_LOOK_S: Final = 0.2


class WireGuard:
    """One peer of one interface (poliqi.apps.adapters.software.Software).

    `public_key` is the peer's, in base64; `command` runs wg. `clock` is the time of day, as WireGuard's.
    """

    def __init__(
        self,
        interface: str,
        public_key: str,
        entropy: Entropy,
        command: Sequence[str] = ("wg",),
        proof_s: float = PROOF_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._interface: Final = interface
        self._public_key: Final = public_key
        self._entropy: Final = entropy
        self._command: Final = tuple(command)
        self._proof_s: Final = proof_s
        self._clock: Final = clock
        self._before: int = 0

    @property
    def kind(self) -> str:
        return "wireguard"

    def can_start(self) -> bool:
        """True where the peer's address is known."""
        return self._tell("endpoints") != "(none)"

    def open(self) -> tuple[str, ...]:
        """Shut; and where there was no preshared key, end a session that may have begun without one."""
        had_none = self._tell("preshared-keys") == "(none)"
        began = self._handshake_s()
        self.shut()
        if not had_none:
            return ()
        if began:
            self._renew()
        remedy = "put `PresharedKey =` and the output of `wg genpsk` there, another one at each end"
        told = (
            f"{self._interface}: its configuration gives this peer no preshared key, so that a session could begin "
            f"without a quantum key before the adapter runs; {remedy}"
        )
        return (told,)

    def hold(self, key_id: str, secret: SecretBytes) -> None:  # noqa: ARG002  # WireGuard has no names for keys
        """Set it, and look when the last handshake was, so that another one proves that the key is used."""
        self._set_preshared(secret)
        self._before = self._handshake_s()
        # wg tells whole seconds: the next handshake must be in another one
        while int(self._clock()) == self._before:
            time.sleep(_LOOK_S)

    def use(self, key_id: str, *, is_starter: bool) -> None:
        """Wait for a handshake after `hold`; the starter asks for one."""
        if is_starter:
            self._renew()
        end = time.monotonic() + self._proof_s
        look_s = _LOOK_S
        # the clock may have been set back meanwhile: another time, not a later one
        while self._handshake_s() in (0, self._before):
            if time.monotonic() > end:
                raise LinkDown(
                    f"{self._interface}: no handshake with key {key_id} within {self._proof_s:g} s: does UDP pass, "
                    "and does the other end hold the same key?"
                )
            time.sleep(look_s)
            look_s = min(2.0 * look_s, _LONGEST_LOOK_S)

    def retire(self, key_id: str) -> None:
        """WireGuard holds one preshared key only."""

    def shut(self) -> None:
        """Set one that nobody else has. A session that is there ends by WireGuard's clock within 180 s."""
        self._set_preshared(SecretBytes(self._entropy.draw(KEY_BYTES)))

    def close(self) -> None:
        """Nothing to let go of."""

    def _set_preshared(self, secret: SecretBytes) -> None:
        words = [*self._command, "set", self._interface, "peer", self._public_key, "preshared-key", "/dev/stdin"]
        tell_program(words, _base64_line(secret))

    def _renew(self) -> None:
        """Have WireGuard hold its sessions for used up, and send a keepalive, which asks for a handshake."""
        own = SecretBytes(self._ask("private-key").strip().encode())
        if len(own) != _TEXT_BYTES:
            raise ConfigError(f"{self._interface}: has no private key; set it up with wg(8) first")
        told = self._tell("persistent-keepalive")
        usual = int(told) if told.isdecimal() else 0
        wg = shlex.join([*self._command, "set", self._interface])
        peer = shlex.join(["peer", self._public_key, "persistent-keepalive"])
        script = [
            f"{wg} private-key /dev/stdin {peer} 0 <$1",
            # turned on, it sends one at once
            f"{wg} private-key /dev/stdin {peer} {usual or 1} <$2",
            *([] if usual else [f"{wg} {peer} 0"]),
        ]
        other = _base64_line(SecretBytes(self._entropy.draw(KEY_BYTES)))
        try:
            tell_twice("f=0; " + "".join(f"{line} || f=1; " for line in script) + "exit $f", other, _line(own))
        except PoliqiError:
            # the interface must not stay with the other one
            tell_program([*self._command, "set", self._interface, "private-key", "/dev/stdin"], _line(own))
            raise
        finally:
            own.close()

    def _handshake_s(self) -> int:
        """When the last one was, in whole seconds of the time of day; 0 for never."""
        told = self._tell("latest-handshakes")
        return int(told) if told.isdecimal() else 0

    def _tell(self, what: str) -> str:
        """What `wg show` tells of the peer."""
        for line in self._ask(what).splitlines():
            peer, _, value = line.partition("\t")
            if peer == self._public_key:
                return value.strip()
        raise ConfigError(
            f"{self._interface}: has no peer {self._public_key}; add it with wg(8), or mend `public_key`"
        )

    def _ask(self, what: str) -> str:
        return ask_program([*self._command, "show", self._interface, what])


def _base64_line(secret: SecretBytes) -> bytearray:
    """As wg reads it; the secret is wiped."""
    line = bytearray(base64.b64encode(secret.view()) + b"\n")
    secret.close()
    return line


def _line(text: SecretBytes) -> bytearray:
    return bytearray(text.view()) + b"\n"
