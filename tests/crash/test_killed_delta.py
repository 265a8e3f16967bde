"""P4 for an update that comes by its files: killed at any file-system call, the old version opens or the new one."""

from __future__ import annotations

import os
import random

import pytest
from test_killed_anywhere import builtin, confirmed, hold_to_p4, keys, points  # noqa: F401

from capgo_client.testing import Service, make_bundle

pytestmark = [
    pytest.mark.promise(4),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives run in forks"),
]

NOISE = random.Random(5).randbytes(300_000)
FILES = {
    "main.py": "print('hello')",
    "pkg/code.py": "x = 1\n" * 3000,
    "pkg/names.br": "Breton",
    "data.bin": NOISE,
}


def test_a_delta_killed_at_every_call(tmp_path, builtin, keys):  # noqa: F811
    with Service() as service:
        service.publish(make_bundle("2.0.0", FILES, keys=keys, manifest=True), delta_only=True)
        confirmed(service, builtin, tmp_path / "template", keys)
        changed = {**FILES, "main.py": "print('again')", "data.bin": NOISE[::-1], "new.py": "y = 1\n" * 3000}
        service.publish(make_bundle("3.0.0", changed, keys=keys, manifest=True), delta_only=True)
        found = points(service, keys, builtin, tmp_path, template=tmp_path / "template")
    hold_to_p4(found, old="2.0.0", new="3.0.0", at_least=20)
