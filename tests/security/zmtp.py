"""A peer that speaks ZMTP 3.1 with CURVE by itself, and so can send what libzmq would not; see zmq's RFC 23 and 26."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import socket
import struct

KEY_LEN, MAC_LEN = 32, 16
COMMAND_BIT, LONG_BIT = 4, 2
AS_COMMAND = 2  # of the flags within a sealed message
SHORT_MAX = 255
HANDSHAKE_S = 10
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)

sodium = ctypes.CDLL(ctypes.util.find_library("sodium"))


def made(kind: str, *args: object, room: int) -> bytes:
    out = ctypes.create_string_buffer(room)
    assert getattr(sodium, f"crypto_box_{kind}")(out, *args) == 0, kind
    return out.raw


def seal(text: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    return made("easy", text, ctypes.c_ulonglong(len(text)), nonce, public, secret, room=len(text) + MAC_LEN)


def unseal(text: bytes, nonce: bytes, public: bytes, secret: bytes) -> bytes:
    return made(
        "open_easy", text, ctypes.c_ulonglong(len(text)), nonce, public, secret, room=len(text) - MAC_LEN
    )


def pair_of(seed: bytes) -> tuple[bytes, bytes]:
    """Public and secret key, as shared/net/keys.c makes them."""
    secret = ctypes.create_string_buffer(KEY_LEN)
    return made("seed_keypair", secret, seed, room=KEY_LEN), secret.raw


def framed(flags: int, body: bytes) -> bytes:
    if len(body) > SHORT_MAX:
        return bytes([flags | LONG_BIT]) + struct.pack(">Q", len(body)) + body
    return bytes([flags, len(body)]) + body


class Peer:
    """Connected and let in.  Keys are hexadecimal."""

    def __init__(self, address: tuple[str, int], server: str, secret: str) -> None:
        self.sock = socket.create_connection(address, HANDSHAKE_S)
        self.count = 0
        self.own_public, self.own_secret = pair_of(os.urandom(KEY_LEN))  # for this connection
        self.sock.sendall(GREETING)
        self.read(len(GREETING))
        self.shake(bytes.fromhex(server), *pair_of(bytes.fromhex(secret)))

    def nonce(self) -> bytes:
        self.count += 1
        return struct.pack(">Q", self.count)

    def shake(self, server: bytes, public: bytes, secret: bytes) -> None:
        n = self.nonce()
        box = seal(bytes(64), b"CurveZMQHELLO---" + n, server, self.own_secret)
        self.sock.sendall(framed(COMMAND_BIT, b"\x05HELLO\x01\x00" + bytes(72) + self.own_public + n + box))
        welcome = self.frame()
        assert welcome.startswith(b"\x07WELCOME"), welcome
        told = unseal(welcome[24:], b"WELCOME-" + welcome[8:24], server, self.own_secret)
        self.hub, cookie = told[:KEY_LEN], told[KEY_LEN:]
        nonce = os.urandom(16)
        vouch = seal(self.own_public + server, b"VOUCH---" + nonce, self.hub, secret)
        about = b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
        n = self.nonce()
        box = seal(public + nonce + vouch + about, b"CurveZMQINITIATE" + n, self.hub, self.own_secret)
        self.sock.sendall(framed(COMMAND_BIT, b"\x08INITIATE" + cookie + n + box))
        ready = self.frame()
        assert ready.startswith(b"\x05READY"), ready

    def read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = self.sock.recv(count - len(got))
            assert piece, "the hub hung up"
            got += piece
        return got

    def frame(self) -> bytes:
        is_long = self.read(1)[0] & LONG_BIT
        return self.read(struct.unpack(">Q", self.read(8))[0] if is_long else self.read(1)[0])

    def message(self, body: bytes, flags: int = 0) -> bytes:
        """As it goes over the wire."""
        n = self.nonce()
        box = seal(bytes([flags]) + body, b"CurveZMQMESSAGEC" + n, self.hub, self.own_secret)
        return framed(0, b"\x07MESSAGE" + n + box)

    def ping(self) -> bytes:
        return self.message(b"\x04PING\x00\x00", AS_COMMAND)

    def reset(self) -> None:
        """End the connection without a farewell."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
