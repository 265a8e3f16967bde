from __future__ import annotations

import hashlib
import random

import pytest
from origin import Origin, encrypt

from capgo_client.fetch.archive import fetch_archive
from capgo_client.fetch.partial import PartialKey
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.seams import Clock, Files
from capgo_client.verify.expectation import Cipher, Expectation


class HandClock(Clock):
    """Stands still unless it is moved."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def wall(self):
        return 1_700_000_000.0


class Desk:
    """Everything a fetch needs, with one bundle to fetch; tests change what they are about."""

    plain = random.Random(1).randbytes(1_000_003)
    cipher = Cipher(key=b"k" * 16, iv=b"i" * 16)

    def __init__(self, folder):
        self.folder = folder
        self.origin = Origin()
        self.origin.data = self.plain
        self.client = HttpClient(user_agent="test", trust_env=False)
        self.files = Files()
        self.clock = HandClock()
        self.key = PartialKey(version="1.0.1", checksum="c" * 64, session_key="")
        self.expectation = Expectation(digest=hashlib.sha256(self.plain).digest(), cipher=None)
        self.scope = Scope(20)
        self.max_bytes = 10_000_000
        self.shown = []
        self.on_progress = None

    def encrypted(self):
        self.origin.data = encrypt(self.plain, self.cipher.key, self.cipher.iv)
        self.key = PartialKey(version="1.0.1", checksum="c" * 64, session_key="session")
        self.expectation = Expectation(digest=self.expectation.digest, cipher=self.cipher)
        return self

    def fetch(self):
        def progress(done, total):
            self.shown.append((done, total))
            if self.on_progress is not None:
                self.on_progress(done, total)

        return fetch_archive(
            self.origin.url,
            expectation=self.expectation,
            key=self.key,
            client=self.client,
            scope=self.scope,
            files=self.files,
            clock=self.clock,
            folder=self.folder,
            max_bytes=self.max_bytes,
            progress=progress,
        )

    @property
    def left(self):
        """Suffixes of what is in the folder."""
        return sorted(path.suffix for path in self.folder.iterdir())

    @property
    def part(self):
        return self.folder / f"{self.key.name}.part"

    def close(self):
        self.client.close()
        self.origin.close()


@pytest.fixture
def desk(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    desk = Desk(folder)
    yield desk
    desk.close()


@pytest.fixture(params=["plain", "encrypted"])
def either(request, desk):
    return desk.encrypted() if request.param == "encrypted" else desk
