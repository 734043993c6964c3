"""A server whose certificate no authority of this machine has signed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bandit_local.servers.local_server import HOST

# What a client of Postgres asks before it begins with TLS.
_SSL_REQUEST_BYTES: Final = 8


def new_certificate(folder: Path) -> Path:
    """Write a certificate that signs itself, with its key; return its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir(exist_ok=True)
    file = folder / "certificate.pem"
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


class Untrusted:
    """Begins with TLS on every connection, and counts them; `as_postgres` after the question of Postgres's clients."""

    def __init__(self, listening: socket.socket, certificate: Path, *, as_postgres: bool) -> None:
        self._listening = listening
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._as_postgres = as_postgres
        self.connections = 0
        self.port: int = listening.getsockname()[1]

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                with suppress(OSError), connection:
                    self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if self._as_postgres:
            connection.recv(_SSL_REQUEST_BYTES)
            connection.sendall(b"S")
        with self._context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(1)


@contextmanager
def untrusted_server(folder: Path, *, as_postgres: bool = False) -> Iterator[Untrusted]:
    """Lend such a server on loopback."""
    with socket.create_server((HOST, 0)) as listening:
        server = Untrusted(listening, new_certificate(folder), as_postgres=as_postgres)
        thread = Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        # Closing alone does not wake a thread that waits for a connection.
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
