"""An office that takes documents by SFTP (asyncssh), and one that sends them; any SFTP program will do for either.

    python sftp_office.py keys FOLDER                   host.key, host.pub, login.key, login.pub
    python sftp_office.py take 8022 FOLDER ARRIVED      serve ARRIVED to the holder of login.key, on loopback
    python sftp_office.py put 127.0.0.1 2222 FOLDER FILE...    send files, to the server with host.pub alone

Needs: pip install asyncssh. With OpenSSH: `sftp -P 2222 -i FOLDER/login.key clerk@127.0.0.1`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import asyncssh

USER = "clerk"


def make_keys(folder: Path) -> None:
    """Ed25519 keys of the server and of the clerk."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host", "login"):
        key = asyncssh.generate_private_key("ssh-ed25519", comment=name)
        key.write_private_key(folder / f"{name}.key")
        key.write_public_key(folder / f"{name}.pub")
        (folder / f"{name}.key").chmod(0o600)


class _Office(asyncssh.SSHServer):
    """Lets in one user, by key."""

    def begin_auth(self, username: str) -> bool:
        if username != USER:
            raise asyncssh.PermissionDenied("nobody of that name")
        return True

    def password_auth_supported(self) -> bool:
        return False


async def take(port: int, folder: Path, arrived: Path) -> asyncssh.SSHAcceptor:
    """Serve `arrived` and nothing above it."""
    arrived.mkdir(parents=True, exist_ok=True)
    return await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=_Office,
        server_host_keys=[str(folder / "host.key")],
        authorized_client_keys=str(folder / "login.pub"),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(arrived)),
        allow_scp=False,
    )


async def put(host: str, port: int, folder: Path, files: list[Path]) -> None:
    """Each file under a name that says it is not whole, and then under its own."""
    known = asyncssh.import_known_hosts(f"[{host}]:{port} {(folder / 'host.pub').read_text()}")
    async with (
        asyncssh.connect(
            host, port, username=USER, client_keys=[str(folder / "login.key")], known_hosts=known, agent_path=None
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        for path in files:
            await sftp.put(str(path), f"{path.name}.part")
            await sftp.posix_rename(f"{path.name}.part", path.name)


async def _serve(port: int, folder: Path, arrived: Path) -> None:
    server = await take(port, folder, arrived)
    print(f"SFTP at 127.0.0.1:{server.get_port()} for {USER}; Ctrl-C ends it", flush=True)
    await asyncio.Event().wait()


def main(words: list[str]) -> int:
    match words:
        case ["keys", folder]:
            make_keys(Path(folder))
        case ["take", port, folder, arrived]:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(_serve(int(port), Path(folder), Path(arrived)))
        case ["put", host, port, folder, *files] if files:
            asyncio.run(put(host, int(port), Path(folder), [Path(file) for file in files]))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
