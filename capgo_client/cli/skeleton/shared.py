"""What every new project has, whatever it draws with. A kind of project says what is its own (``Parts``)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Parts", "project"]

_START = '''\
"""The start file: it ships with the installer and is never updated. What is updated lies in app/."""

@before@from capgo_client import Updater
from capgo_client.launcher import @launcher@

APP = Path(__file__).resolve().parent / "app"


def main(**options):
    """Open the newest good version of the app. The tests give options of their own."""
    updater = Updater(
        app_id="@APP_ID@",
        version="@VERSION@",  # of what lies in app/ when you build the installer
        builtin=APP,
        entry="main.py",
@options@        # With a key nothing unsigned opens: public_key=APP.with_name(".capgo_key_v2.pub"),
        **options,
    )
    return run(updater, "main:main")


if __name__ == "__main__":
    main()
'''

_DEV = '''\
"""Try updates on this machine, without an account at Capgo: start the app against `capgo-client serve`.

For you, not for the installer. What the app downloads this way is kept in data/, apart from what start.py downloads.
"""

import sys
from pathlib import Path

import start

SERVICE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8765"

if __name__ == "__main__":
    start.main(
        update_url=f"{SERVICE}/updates",
        stats_url=f"{SERVICE}/stats",
        channel_url=f"{SERVICE}/channel_self",
        data_dir=Path(__file__).resolve().with_name("data"),
    )
'''

_TEXTS = '"""What the app says."""\n'

_TEST = '''\
"""The start file, in processes of its own, against an update service on loopback that comes with capgo-client."""

import json
@test_imports@import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
@launch@

@pytest.fixture
def launch(capgo_service, capgo_data_dir):
    """Start the app as a device does, and return what it printed."""
    urls = {name: getattr(capgo_service, name) for name in ("update_url", "stats_url", "channel_url")}

    def launch():
        options = json.dumps({"data_dir": str(capgo_data_dir), "auto_update": "onLaunch", **urls})
        command = [sys.executable, "-c", LAUNCH, options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return launch


@pytest.fixture
def next_version(capgo_bundle):
    """What is in app/, with other files in place of its own, as a bundle."""
    own = {path.relative_to(ROOT / "app").as_posix(): path.read_bytes() for path in (ROOT / "app").rglob("*.*")}
    own = {name: data for name, data in own.items() if "__pycache__" not in name}
    return lambda version, **files: capgo_bundle(version, {**own, **files})


def test_the_app_opens(launch):
    assert "This is version @VERSION@." in launch()


def test_an_update_arrives(launch, capgo_service, next_version):
    capgo_service.publish(next_version("99.0.0", **{"texts/greeting.txt": "Good evening."}))

    assert launch().startswith("Good evening. This is version 99.0.0.")


def test_a_broken_update_is_taken_back_in_the_same_start(launch, capgo_service, next_version):
    capgo_service.publish(next_version("99.0.0", **{"main.py": "def main():\\n    raise RuntimeError('broken')"}))

    assert "This is version @VERSION@." in launch()


@pytest.mark.parametrize("fault", ["http-503", "silence", "html-200"])
def test_the_app_opens_whatever_the_service_does(launch, capgo_service, fault):
    with capgo_service.fault(fault):
        assert "This is version @VERSION@." in launch()
'''

_PYPROJECT = """\
[project]
name = "@NAME@"
version = "@VERSION@"
requires-python = ">=3.10"
dependencies = [@requires@]

[project.optional-dependencies]
test = ["pytest>=8"]

[tool.setuptools]
py-modules = ["start"]

[tool.pytest.ini_options]
testpaths = ["tests"]

# So that `capgo-client doctor`, `list` and the others know in this folder which app is meant.
[tool.capgo]
app_id = "@APP_ID@"
builtin = "app"
"""

_README = """\
# @NAME@

An app that updates itself, with [Capgo](https://capgo.app) and `capgo-client`.

| | |
|---|---|
| `start.py` | ships with the installer and is never updated; keep it small |
| `app/` | the app: everything in it can be updated |
| `dev.py` | starts the app against a service on this machine, to try updates |
@rows@| `tests/` | start the app against an update service on loopback, a broken one too |

```sh
pip install @pip@ pytest
python start.py        # opens app/, until a newer version has arrived
python -m pytest@test_remark@
```

To see an update without an account at Capgo, make the next version and serve it:

```sh
cp -r app next
echo "Good evening." > next/texts/greeting.txt
capgo-client serve --port 8765 --bundle next --version 1.0.1
```

In a second terminal, @seeing@

To send version 1.0.1 to the devices, change `app/` and upload it, once you have an account at Capgo:

```sh
npx @capgo/cli app add @APP_ID@
npx @capgo/cli bundle upload @APP_ID@ --bundle 1.0.1 --path app --channel production --no-code-check
```

`version=` in `start.py` stays what it was in the installer that a device has. Change it, and `version` in
`pyproject.toml`, when you build a new installer.
"""

_GITIGNORE = """\
__pycache__/
.capgo_key_v2
data/
next/
@ignored@"""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where projects differ: each field stands in a file for the placeholder of its name."""

    #: What the start file does before it imports us, with its own imports.
    before: str = "from pathlib import Path\n\n"
    launcher: str = "run"
    #: Lines among the options of the start file's Updater.
    options: str = ""
    #: The code, in a process of its own, that a test starts the app by.
    launch: str = 'LAUNCH = "import json, sys, start; start.main(**json.loads(sys.argv.pop()))"\n'
    test_imports: str = ""
    #: Of pyproject.toml, and the same for a shell.
    requires: str = '"capgo-client"'
    pip: str = "capgo-client"
    #: What the README says of the tests, of its own files, and of how an update is seen.
    test_remark: str = ""
    rows: str = ""
    seeing: str = "`python dev.py` fetches it, and `python dev.py` once more opens it."
    ignored: str = ""
    #: Whole files, by their paths.
    files: Mapping[str, str] = field(default_factory=dict)


def project(parts: Parts) -> dict[str, str]:
    """The path of each file in a new folder, and what stands there; the placeholders of ``new`` are left."""
    texts = {
        "start.py": _START,
        "dev.py": _DEV,
        **parts.files,
        # Not empty: Capgo's delta updates leave empty files out.
        "app/texts/__init__.py": _TEXTS,
        "app/texts/greeting.txt": "Hello.\n",
        "tests/test_start.py": _TEST,
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        ".gitignore": _GITIGNORE,
    }
    return {name: _filled(text, parts) for name, text in texts.items()}


def _filled(text: str, parts: Parts) -> str:
    for name, value in asdict(parts).items():
        if isinstance(value, str):
            text = text.replace(f"@{name}@", value)
    return text
