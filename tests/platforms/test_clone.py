"""Copies that share their blocks: only some file systems can, and what cannot must say so and change nothing."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from capgo_client.platforms import android, apple, linux, posix, windows
from capgo_client.seams import Files


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "source").write_bytes(b"content")
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT)
    yield source, target
    os.close(source)
    os.close(target)


def test_a_clone_is_either_whole_or_not_there(pair, tmp_path):
    done = Files().clone(*pair)
    assert (tmp_path / "target").read_bytes() == (b"content" if done else b"")


def test_linux_asks_for_it_with_the_number_of_the_manual(pair, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "ioctl", lambda fd, request, arg: asked.append((fd, request, arg)))
    assert linux.clone(*pair)
    assert asked == [(pair[1], 0x40049409, pair[0])]


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM])
def test_whatever_linux_says_against_it_means_no(pair, monkeypatch, number):
    def refuse(fd, request, arg):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert not linux.clone(*pair)


@pytest.mark.parametrize("platform", [posix, apple, android, windows], ids=lambda module: module.__name__)
def test_the_others_do_not_try(platform):
    assert not platform.clone(-1, -1)
