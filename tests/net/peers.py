"""Servers on loopback that misbehave, written on bare sockets so that every byte and every silence is ours."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
import struct
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Gone(Exception):
    """The other side has closed the connection."""


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock = sock
        self._buffer = b""

    def request(self):
        """Read one request: (head, body)."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self._buffer = rest
        while len(self._buffer) < length:
            self._fill()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head, body

    def _fill(self):
        try:
            data = self.sock.recv(65536)
        except OSError as exc:
            raise Gone from exc
        if not data:
            raise Gone
        self._buffer += data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as exc:
            raise Gone from exc

    def pause(self, seconds):
        """Wait, unless the other side closes first."""
        readable, _, _ = select.select([self.sock], [], [], seconds)
        if readable:
            self._fill()

    def hold(self):
        """Do nothing until the other side closes."""
        while True:
            self._fill()

    def drip(self, data, interval):
        for byte in data:
            self.send(bytes([byte]))
            self.pause(interval)
        self.hold()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Gone


class Peer:
    """A listener on 127.0.0.1; ``script(connection)`` runs in a thread for each connection."""

    def __init__(self, script, *, tls=None, buffer=None):
        self.script = script
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        if buffer is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.gone = threading.Event()
        self.gone_at = None
        self.requests = []
        self._open = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/"

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            if self.tls is not None:
                raw, sock = sock, self.tls.wrap_socket(sock, server_side=True)
                self._open.add(sock)
                self._open.discard(raw)
            self.script(Connection(sock))
        except (Gone, OSError, ValueError):
            pass
        finally:
            self.gone_at = time.monotonic()
            self.gone.set()
            sock.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._threads[0].join(5)
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answer(status=200, body=b"", *, reason="OK", **headers):
    """A whole reply; header names with _ for -."""
    lines = [f"HTTP/1.1 {status} {reason}"]
    headers.setdefault("Content_Length", str(len(body)))
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def web(routes, *, tls=None):
    """A well-behaved server: path -> reply bytes, or a function of (head, body) giving them."""
    peer = Peer(None, tls=tls)

    def script(connection):
        while True:
            head, body = connection.request()
            peer.requests.append((head, body))
            path = head.split(b" ")[1].decode()
            reply = routes.get(path.partition("?")[0], answer(404, b"{}", reason="Not Found"))
            connection.send(reply(head, body) if callable(reply) else reply)

    peer.script = script
    return peer


def silence():
    return Peer(lambda connection: connection.hold())


def drip_headers(interval):
    def script(connection):
        connection.request()
        connection.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000, interval)

    return Peer(script)


def drip_body(interval):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        connection.drip(b"a" * 100_000, interval)

    return Peer(script)


def endless_body():
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.send(b"a" * 65536)

    return Peer(script)


def endless_headers():
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.send(b"X-More: " + b"a" * 8000 + b"\r\n")

    return Peer(script)


def reset_after(data):
    """Send ``data``, wait until it was taken from the network, reset the connection."""
    taken = threading.Event()

    def script(connection):
        connection.request()
        if data:
            connection.send(data)
            taken.wait(5)
        connection.reset()

    peer = Peer(script)
    peer.taken = taken
    return peer


def tls_stall():
    """Takes the ClientHello and says nothing."""
    return Peer(lambda connection: connection.hold())


def tls_drip(interval):
    """Answers the ClientHello with the head of a record and then a byte now and then."""

    def script(connection):
        connection.pause(5)
        connection.drip(b"\x16\x03\x03\x20\x00\x02\x00\x1f\xfc" + b"\0" * 5000, interval)

    return Peer(script)


class BlackHole:
    """A listener whose queue is full: Linux then drops every further SYN, as a firewall would."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        # Wait until the queue is seen to be full: one of the connections is through, the last is not.
        assert select.select([], self.fillers[:1], [], 2)[1]
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [*self.fillers, self.listener]:
            sock.close()


def proxy(targets=None, *, refuse=None):
    """An HTTP proxy: CONNECT and absolute URIs; every host name leads to 127.0.0.1:``targets[name]``."""
    peer = Peer(None)

    def script(connection):
        head, body = connection.request()
        peer.requests.append((head, body))
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        if refuse is not None:
            connection.send(refuse)
            return
        if method == b"CONNECT":
            name, port = target.decode().rsplit(":", 1)
            onward = socket.create_connection(("127.0.0.1", (targets or {}).get(name, int(port))))
            connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            authority, _, path = target.partition(b"://")[2].partition(b"/")
            name, _, port = authority.decode().partition(":")
            onward = socket.create_connection(("127.0.0.1", (targets or {}).get(name, int(port or 80))))
            rest = head.partition(b"\r\n")[2]
            onward.sendall(method + b" /" + path + b" HTTP/1.1\r\n" + rest + b"\r\n\r\n" + body)
        with onward:
            pipe(connection.sock, onward)

    peer.script = script
    return peer


def pipe(one, other):
    while True:
        readable, _, _ = select.select([one, other], [], [], 10)
        if not readable:
            return
        for source in readable:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)


class Authority:
    """A certificate authority of the test's own, and a server certificate for 127.0.0.1, localhost and service.test."""

    def __init__(self, folder, *, not_before=None, not_after=None):
        now = dt.datetime.now(dt.timezone.utc)
        start = not_before or now - dt.timedelta(days=1)
        end = not_after or now + dt.timedelta(days=1)
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        ca = (
            x509.CertificateBuilder()
            .subject_name(ca_name)
            .issuer_name(ca_name)
            .public_key(ca_key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=900))
            .not_valid_after(now + dt.timedelta(days=900))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    key_cert_sign=True,
                    crl_sign=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(ca_key, hashes.SHA256())
        )
        names = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.DNSName("localhost"),
            x509.DNSName("service.test"),
        ]
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]))
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(2)
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        self.ca_path = folder / "ca.pem"
        self.ca_path.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        server = folder / "server.pem"
        server.write_bytes(
            leaf.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(server)
        self.client = ssl.create_default_context(cafile=str(self.ca_path))
