"""What a killed start published and did not write down is taken in, once (install/rebuild.py)."""

from __future__ import annotations

from dataclasses import replace

from capgo_client.install.rebuild import adopted, install_of
from capgo_client.install.seal import Seal
from capgo_client.life.state import State

SEAL = Seal(
    id="one", version="2.0.0", checksum="aa", native_version="1.0.0", sealed_at=5.0, file_count=1, total_bytes=1,
    list_sha256="bb",
)  # fmt: skip
EMPTY = State(native_version="1.0.0")


def ids(state: State) -> list[str]:
    return [install.id for install in state.installs]


def test_what_nobody_wrote_down_is_taken_in():
    assert ids(adopted(EMPTY, [SEAL, replace(SEAL, id="two", version="3.0.0")])) == ["one", "two"]


def test_what_another_process_installed_meanwhile_is_not_taken_in_a_second_time():
    state = EMPTY.with_install(install_of(replace(SEAL, id="theirs")))
    assert adopted(state, [SEAL]) is state


def test_of_two_that_are_the_same_one_is_taken_in():
    assert ids(adopted(EMPTY, [SEAL, replace(SEAL, id="two")])) == ["one"]


def test_the_same_version_of_another_upload_is_another_one():
    state = EMPTY.with_install(install_of(replace(SEAL, id="theirs", checksum="cc")))
    assert ids(adopted(state, [SEAL])) == ["theirs", "one"]


def test_what_another_installer_had_is_no_use():
    assert adopted(EMPTY, [replace(SEAL, native_version="0.9.0")]) is EMPTY
