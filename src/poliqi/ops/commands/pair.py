"""`poliqi link pair`: first trust between the two ends of a link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from poliqi.base.errors import DataRefused
from poliqi.base.ids import Role

__all__ = ["pair"]

PATH = click.Path(path_type=Path)
ROLES = click.Choice([role.value for role in Role])
STATE = click.option("--state", type=PATH, required=True, metavar="DIR", help="folder of this end's state")
JSON = click.option("--json", "as_json", is_flag=True, help="print JSON")
SIMULATED = click.option("--simulated", is_flag=True, help="for simulated or replayed light only")
WORDS = click.option("--words", default=1024, show_default=True, help="pad words of 16 bytes for each direction")


@click.group()
def pair() -> None:
    """Give two ends the secret or the public keys that their first words are authenticated with.

    By hand: `new` once, carry the file to both ends, `install` at each. By public keys: `identity` and
    `trust` at each end, comparing fingerprints over the telephone.
    """


def _print(as_json: bool, answer: dict[str, Any], lines: list[str]) -> None:
    click.echo(json.dumps(answer) if as_json else "\n".join(lines))


@pair.command()
@click.option("--link", "link_id", required=True, metavar="NAME", help="name of the link, the same at both ends")
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE", help="where the pair file goes")
@WORDS
@JSON
def new(link_id: str, output: Path, words: int, as_json: bool) -> None:
    """Make a pair file: fresh pads for both directions.

    Make it on one of the two machines, copy it to a medium that you carry yourself, install it at both ends.
    Whoever else copies it can pretend to be either end.
    """
    from poliqi.edge.entropy import OperatingSystemEntropy
    from poliqi.edge.pairfile import PairFile, check_link_id, write_private

    made = PairFile.make(check_link_id(link_id), words, OperatingSystemEntropy())
    write_private(output, made.encode(), "pair file")
    answer = {"file": str(output), "link": made.link_id, "pair_id": made.pair_id, "words": words}
    _print(as_json, answer, [
        f"pair {made.pair_id} of link {made.link_id}: {words} words for each direction in {output}",
        "carry it by hand, then at each end: poliqi link pair install FILE --role alice|bob --state DIR",
    ])  # fmt: skip


@pair.command()
@click.argument("file", type=PATH)
@click.option("--role", type=ROLES, required=True, help="alice prepares light, bob detects it")
@STATE
@SIMULATED
@click.option("--keep", is_flag=True, help="do not wipe the pair file (it still has to go to the other end)")
@JSON
def install(file: Path, role: str, state: Path, simulated: bool, keep: bool, as_json: bool) -> None:
    """Make this end's state from a pair file, then wipe the file.

    Install each copy once. A state is never overwritten, and the same file is never installed again, even
    after its state was lost: the words would be used a second time, and two tags under one word let anybody
    forge messages. Make a new pair file instead.
    """
    from poliqi.edge.pairing import install_pair_file, link_status

    exposed = install_pair_file(file, state, Role(role), simulated=simulated, keep=keep)
    if exposed:
        click.echo(f"warning: {file} could be read by other users of this machine", err=True)
    status = link_status(state)
    link = status.link
    answer = {"link": link.link_id, "role": role, "pair_id": link.pair_id, "state": str(state), "wiped": not keep}
    fate = (
        f"{file} still holds the pads: carry it to the other end, then destroy it" if keep else f"{file} is wiped"
    )
    _print(as_json, answer, [f"{role} of link {link.link_id} is paired (pair {link.pair_id}); {fate}"])


@pair.command()
@STATE
@click.option("-o", "--output", type=PATH, metavar="FILE", help="write the public key there (else it is printed)")
@JSON
def identity(state: Path, output: Path | None, as_json: bool) -> None:
    """Make this end's ML-DSA-65 key, once, and show its public half.

    Give the public key to the other end in any way, and compare the fingerprint over one that cannot be
    tampered with.
    """
    from poliqi.edge.pairing import encode_public_key, fingerprint, make_identity

    key = make_identity(state)
    text = encode_public_key(key)
    if output is not None:
        output.write_text(text)
    answer = {
        "public_key": text.strip(),
        "fingerprint": fingerprint(key),
        "file": None if output is None else str(output),
    }
    shown = [text.strip()] if output is None else [f"public key: {output}"]
    _print(as_json, answer, [*shown, f"fingerprint: {fingerprint(key)}"])


@pair.command()
@click.argument("peer", type=PATH)
@click.option("--link", "link_id", required=True, metavar="NAME", help="name of the link, the same at both ends")
@click.option("--role", type=ROLES, required=True, help="alice prepares light, bob detects it")
@STATE
@SIMULATED
@WORDS
@JSON
def trust(peer: Path, link_id: str, role: str, state: Path, simulated: bool, words: int, as_json: bool) -> None:
    """Pair this end with the holder of a public key.

    The first block is authenticated by ML-DSA-65 signatures, so its trust is computational, once; it fills
    the pads of both directions, and every later block is authenticated by pads.
    """
    from poliqi.edge.pairfile import read_private
    from poliqi.edge.pairing import decode_public_key, fingerprint, trust_peer

    data, _ = read_private(peer, "public key")
    try:
        key = decode_public_key(data)
    except DataRefused as error:
        raise DataRefused(f"{peer}: {error}") from error
    link = trust_peer(state, key, link_id, Role(role), simulated=simulated, words=words)
    answer = {"link": link.link_id, "role": role, "pair_id": link.pair_id, "fingerprint": fingerprint(key)}
    _print(as_json, answer, [
        f"{role} of link {link.link_id} trusts {fingerprint(key)}",
        "compare this fingerprint with the one that the other end shows, over the telephone",
    ])  # fmt: skip
