"""Deadlines of calls whose server lets its answer drip, on real sockets."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pulse_sdk import Pulse, TimedOut, Tokens
from pulse_sdk._deadlines import Deadlines
from tests.unit.sdk_servers import answer, ask, listening
from tests.unit.sdk_support import ID, Caller, tokens


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def dripping(first: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            time.sleep(0.02)
            connection.sendall(drop)

    return serve


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Filler: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (answer(b"", length=10**9), b" "),
    ],
    ids=["headers", "a chunk's length", "a body"],
)
async def test_a_server_that_drips_is_left_at_the_deadline(
    caller: Caller, first: bytes, drop: bytes
) -> None:
    with (
        listening(dripping(first, drop)) as url,
        pytest.raises(TimedOut, match="before the deadline"),
    ):
        await ask(caller, url, deadline=0.3)


async def test_so_is_a_proxy(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(TimedOut, match="before the deadline"):
            await ask(caller, "http://pulse.invalid", deadline=0.3)


def test_a_thread_renews_tokens_within_the_deadline_of_its_call() -> None:
    with (
        listening(dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")) as url,
        Pulse(url, token=Tokens.model_validate({**tokens(0), "expires_in": 0})) as client,
        pytest.raises(TimedOut, match="before the deadline"),
    ):
        client.with_options(deadline=0.3).posts.get(ID)


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for this machine that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    here, now = x509.IPAddress(ip_address("127.0.0.1")), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    pem = serialization.Encoding.PEM
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, unencrypted)
    file.write_bytes(private + signed.public_bytes(pem))
    return file


async def test_an_encrypted_answer_that_drips_ends_too(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    heard: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            heard.append(encrypted.recv(65536))
            dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x")(encrypted)

    with listening(serve, reads=False) as url, pytest.raises(TimedOut, match="before the deadline"):
        await ask(caller, url.replace("http", "https"), deadline=1)
    assert heard[0].startswith(b"GET /api/v1/posts/")


def test_a_thread_leaves_a_handshake_that_never_ends_at_the_deadline() -> None:
    done = threading.Event()
    with listening(lambda _: done.wait(60)) as url:
        with (
            Pulse(url.replace("http", "https"), deadline=0.3) as client,
            pytest.raises(TimedOut, match="before the deadline"),
        ):
            client.posts.get(ID)
        done.set()


def test_a_wait_takes_what_is_left_of_its_own_thread_s_deadline() -> None:
    deadlines = Deadlines()
    late = httpcore.ReadTimeout
    assert [deadlines.cut(timeout, late) for timeout in (None, 60)] == [None, 60]
    deadlines.begin(time.monotonic() + 50)
    for timeout in (None, 60):
        left = deadlines.cut(timeout, late)
        assert left is not None and 0 < left <= 50
    assert deadlines.cut(0.001, late) == 0.001
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(deadlines.cut, None, late).result() is None
    deadlines.begin(time.monotonic())
    with pytest.raises(late):
        deadlines.cut(60, late)
    deadlines.begin(math.inf)
    assert deadlines.cut(60, late) == 60
