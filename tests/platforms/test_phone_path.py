"""What a phone imports and does, played on a desktop: no brotli, an old cryptography, and a phone's surroundings.

Nobody has tried it on a device (docs/phones.md). `make lowest` runs this file with the oldest cryptography for real.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import capgo_client
from capgo_client.platforms import android, apple, linux, system_name
from capgo_client.testing import BundleKeys, Service, make_bundle

ROOT = Path(capgo_client.__file__).parents[1]
PHONE = Path(__file__).with_name("phone.py")
APP_ID = "com.example.notes"

#: What no Python for phones has, or need not have: nothing of it may be loaded by an update.
LACKS = [
    *("brotli", "brotlicffi", "zstandard"),  # in Chaquopy's and BeeWare's index there is brotli 1.1, which is too old
    *("anyio", "sniffio", "trio", "exceptiongroup", "typing_extensions", "socksio", "h2", "click"),  # pip --no-deps
    *("pytest", "respx", "hypothesis", "rich", "pygments"),
    *("multiprocessing", "_multiprocessing", "subprocess", "_posixsubprocess", "tkinter", "curses", "readline", "grp"),
    *("ctypes", "_ctypes", "jnius", "java", "android"),
]

#: Every name that the library takes from cryptography, by where it takes it; each is in 3.4.8.
CRYPTOGRAPHY = {
    "cryptography.exceptions": ["InvalidSignature"],
    "cryptography.hazmat.primitives.asymmetric.padding": ["PKCS1v15"],
    "cryptography.hazmat.primitives.asymmetric.rsa": ["RSAPublicKey", "RSAPublicNumbers"],
    "cryptography.hazmat.primitives.ciphers": ["Cipher"],
    "cryptography.hazmat.primitives.ciphers.algorithms": ["AES"],
    "cryptography.hazmat.primitives.ciphers.modes": ["CBC"],
    "cryptography.hazmat.primitives.padding": ["PKCS7"],
}


@dataclass
class Phone:
    """A way to get Python onto a phone; {home} is the app's own folder there."""

    name: str
    says: str  # sys.platform
    wire: str
    data: str
    is_android: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)
    has_old_brotli: bool = False

    def __str__(self):
        return self.name


P4A = {
    "ANDROID_PRIVATE": "{home}",
    "ANDROID_ARGUMENT": "{home}/app",
    "ANDROID_APP_PATH": "{home}/app",
    "ANDROID_DATA": "/data",
    "ANDROID_ROOT": "/system",
    "P4A_BOOTSTRAP": "SDL2",
    "PYTHONOPTIMIZE": "2",
}
PHONES = [
    # Python 3.11 called Android a linux. There is no platformdirs in many a requirements list, and none is needed.
    Phone("p4a-2024.01.21", "linux", "android", "{home}/capgo/com.example.notes", True, P4A, ["platformdirs", "httpx"]),
    Phone("p4a-2026.05.09", "android", "android", "{home}/capgo/com.example.notes", True, P4A, ["platformdirs"]),
    # Its home begins with /data/, which cannot be played here; what comes of that is tested below.
    Phone("chaquopy-3.12", "linux", "android", "{home}/given", True, {"HOME": "{home}"}, has_old_brotli=True),
    Phone(
        "ios",
        "ios",
        "ios",
        "{home}/Library/Application Support/com.example.notes/capgo",
        False,
        {"HOME": "{home}"},
        ["platformdirs"],
    ),
]


@pytest.fixture
def publisher():
    return BundleKeys.generate()


@pytest.fixture
def service():
    with Service(tls=True) as running:
        yield running


@pytest.fixture
def launch(tmp_path, service, publisher):
    """Starts the app on a phone; returns what it printed and what it says of itself."""
    home = tmp_path / "home"
    builtin = home / "app" / "notes"
    builtin.mkdir(parents=True)
    (builtin / "main.py").write_text(app("builtin"), "utf-8")

    def start(phone):
        given = {
            "sys_platform": phone.says,
            "android": phone.is_android,
            "sys_path": [str(ROOT)],
            "lacks": [name for name in (*LACKS, *phone.lacks) if name != "brotli" or not phone.has_old_brotli],
            "old_brotli": phone.has_old_brotli,
            "data_dir": phone.data.format(home=home) if phone.name.startswith("chaquopy") else None,
            "cryptography": CRYPTOGRAPHY,
            "app_id": APP_ID,
            "builtin": str(builtin),
            "public_key": publisher.public_pem,
            "update_url": service.update_url,
            "stats_url": service.stats_url,
            "channel_url": service.channel_url,
        }
        environment = {name: value.format(home=home) for name, value in phone.environment.items()}
        environment |= {"SSL_CERT_FILE": str(service.ca_path), "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "-W", "error", str(PHONE), json.dumps(given)],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        printed, report = done.stdout.splitlines()
        return printed, json.loads(report)

    start.home = home
    return start


def app(version: str) -> str:
    return f"""
from capgo_client import current_updater

def main():
    updater = current_updater()
    updater.notify_app_ready()
    if not updater.wait(30):  # no assert: python-for-android runs without
        raise SystemExit("no end")
    print({version!r}, updater.current.version, updater.explain().answer_code)
"""


@pytest.mark.parametrize(
    "phone", [PHONES[0], *(pytest.param(phone, marks=pytest.mark.slow) for phone in PHONES[1:])], ids=str
)
def test_a_whole_update_arrives_and_opens_with_what_a_phone_has(phone, launch, service, publisher):
    files = {"main.py": app("update"), "big.txt": "a line of text\n" * 2000}
    service.publish(make_bundle("1.4.1", files, keys=publisher, manifest=True, brotli=True))

    first, report = launch(phone)
    assert first.split() == ["builtin", "1.4.0"]
    assert report["loaded"] == []
    assert report["optimized"] == int(phone.environment.get("PYTHONOPTIMIZE", "0"))
    second, report = launch(phone)
    assert second.split() == ["update", "1.4.1", "no_new_version_available"]
    assert report["loaded"] == []

    assert service.refused == []
    assert {request.json["platform"] for request in service.checks} == {phone.wire}
    # A delta was on offer. Without brotli it cannot be unpacked, so the archive was taken, and nothing else.
    assert "manifest" in json.loads(answer(service))
    assert [request.path.rpartition("/")[2] for request in service.downloads] == ["1.4.1.zip"]
    data = Path(phone.data.format(home=launch.home))
    assert {"bundles", "state.json"} & {each.name for each in data.iterdir()}
    others = {each.name for each in launch.home.iterdir()} - {"app", data.relative_to(launch.home).parts[0]}
    assert others == set()


def answer(service: Service) -> bytes:
    """What the first check would be answered once more."""
    return service._backend.reply(service.checks[0], service.url).body


@pytest.mark.parametrize("phone", PHONES[:1], ids=str)
def test_a_bundle_of_somebody_else_does_not_open_on_a_phone_either(phone, launch, service):
    service.publish(make_bundle("1.4.1", {"main.py": app("update")}, keys=BundleKeys.generate("somebody else")))

    launch(phone)
    printed, _ = launch(phone)
    assert printed.split()[:2] == ["builtin", "1.4.0"]


# --- cryptography ----------------------------------------------------------------------------------------------------


def test_nothing_else_is_taken_from_cryptography_than_the_list_says():
    taken: dict[str, set[str]] = {}
    for module in (ROOT / "capgo_client").rglob("*.py"):
        if module.relative_to(ROOT / "capgo_client").parts[0] in {"testing", "cli"}:
            continue
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryptography"):
                taken.setdefault(node.module, set()).update(alias.name for alias in node.names)
    assert {name: sorted(names) for name, names in taken.items()} == CRYPTOGRAPHY


def test_the_oldest_cryptography_that_is_allowed_is_the_one_that_phones_have():
    assert '"cryptography>=3.4.8"' in (ROOT / "pyproject.toml").read_text("utf-8")
    assert "cryptography 3.4.8" in (ROOT / "docs" / "phones.md").read_text("utf-8")


# --- what it is called ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["linux", "android"])
def test_android_has_its_name_with_every_python(monkeypatch, says):
    monkeypatch.setattr(sys, "platform", says)
    monkeypatch.setattr(sys, "getandroidapilevel", lambda: 34, raising=False)
    assert system_name() == "android"


@pytest.mark.parametrize("says", ["linux", "ios", "darwin", "win32"])
def test_other_systems_are_called_what_python_calls_them(monkeypatch, says):
    monkeypatch.setattr(sys, "platform", says)
    assert system_name() == says


# --- where the data lives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {"ANDROID_PRIVATE": "/data/user/0/org.example/files"},
            "/data/user/0/org.example/files/capgo/com.example.notes",
        ),
        (
            {"ANDROID_PRIVATE": "/data/user/0/org.example/files", "HOME": "/data"},
            "/data/user/0/org.example/files/capgo/com.example.notes",
        ),
        ({"HOME": "/data/user/10/org.example/files"}, "/data/user/10/org.example/files/capgo/com.example.notes"),
        ({"HOME": "/data/data/org.example/files"}, "/data/data/org.example/files/capgo/com.example.notes"),
        (
            {"HOME": "/mnt/expand/1-2/user/0/org.example/files"},
            "/mnt/expand/1-2/user/0/org.example/files/capgo/" + APP_ID,
        ),
        # Termux is a desktop's home on a phone.
        (
            {"HOME": "/data/data/com.termux/files/home", "PREFIX": "/data/data/com.termux/files/usr"},
            "/data/data/com.termux/files/home/.local/share/com.example.notes/capgo",
        ),
    ],
)
def test_on_android_it_is_the_apps_private_folder(monkeypatch, environment, expected):
    for name in ("ANDROID_PRIVATE", "HOME", "PREFIX", "XDG_DATA_HOME", "ANDROID_DATA", "ANDROID_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert android.default_data_dir(APP_ID) == expected


def test_on_ios_it_is_application_support_whatever_platformdirs_thinks(monkeypatch):
    monkeypatch.setattr(sys, "platform", "ios")
    monkeypatch.setenv("HOME", "/var/mobile/Containers/Data/Application/1")
    expected = "/var/mobile/Containers/Data/Application/1/Library/Application Support/com.example.notes/capgo"
    assert apple.default_data_dir(APP_ID) == expected


def test_the_version_of_ios_is_what_python_says_of_it(monkeypatch):
    import platform

    class Known:
        release = "18.2"

    monkeypatch.setattr(sys, "platform", "ios")
    monkeypatch.setattr(platform, "ios_ver", lambda: Known, raising=False)
    assert apple.os_version() == "18.2"
    Known.release = ""
    assert apple.os_version() == os.uname().release


def test_without_ctypes_each_file_is_flushed_by_itself(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.setattr(linux, "_kernel", lambda: (6, 1))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert linux.sync_filesystem(fd) is False
    finally:
        os.close(fd)
