"""Which app, on which device: the options that commands share, from the command line, the environment or a table.

Each is called what ``Updater`` calls it: ``--data-dir``, then ``CAPGO_CLIENT_DATA_DIR``, then ``data_dir`` in the table
``[tool.capgo]`` of the ``pyproject.toml`` in the current folder. The first that is there counts.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.mistakes import UsageMistake
from capgo_client.config import MODES

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["ASKING", "DEVICE", "INSTALLING", "Setting", "add_app_options", "app_values", "toml_reader"]

_PREFIX = "CAPGO_CLIENT_"
_TABLE_FILE = "pyproject.toml"
_TABLE_HEAD = "[tool.capgo]"
#: Where there is no such key, there is no table, and nothing to read TOML with is needed.
_CAPGO_KEY = re.compile(r"""(?<![\w/-])capgo["']?\s*[].=]""")
_ARMOUR = "-----BEGIN"
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_DOWNGRADES = {"above_builtin": "above_builtin", "yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Setting:
    """One option. ``kind``: a text, a path, several key files, yes or no, or one of ``choices``.

    ``switched``: which of the choices false and true stand for, where ``Updater`` takes them too.
    """

    name: str
    help: str
    kind: Literal["text", "path", "keys", "switch"] = "text"
    metavar: str = ""
    choices: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """As it is written on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return _PREFIX + self.name.upper()

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Describe it to argparse; what was not given is None."""
        more: dict[str, Any] = {"metavar": self.metavar} if self.metavar else {}
        if self.kind == "switch":
            more = {"action": argparse.BooleanOptionalAction}
        elif self.kind == "keys":
            more["action"] = "append"
        elif self.choices:
            more["choices"] = self.choices
        parser.add_argument(self.flag, dest=self.name, default=None, help=self.help, **more)

    def from_text(self, text: str, where: str) -> Any:
        """What an environment variable says. Raises UsageMistake."""
        if self.kind == "switch":
            if text.lower() not in _SWITCH:
                raise UsageMistake(f"{where} is {text!r}; it may be {', '.join(_SWITCH)}")
            return _SWITCH[text.lower()]
        return self.checked([text] if self.kind == "keys" else text, where)

    def from_table(self, value: object, where: str) -> Any:
        """What the table says. Raises UsageMistake."""
        if self.switched and isinstance(value, bool):
            return self.switched[value]
        if self.kind == "keys" and isinstance(value, str):
            return [value]
        wanted: type = {"switch": bool, "keys": list}.get(self.kind, str)
        strange = self.kind == "keys" and isinstance(value, list) and not all(isinstance(key, str) for key in value)
        if not isinstance(value, wanted) or strange:
            kinds = {"switch": "true or false", "keys": "a text or a list of texts"}
            raise UsageMistake(f"{where} is {value!r}; it has to be {kinds.get(self.kind, 'a text')}")
        return self.checked(value, where)

    def checked(self, value: Any, where: str) -> Any:
        """The value, if it is one of ``choices`` or there are none. Raises UsageMistake."""
        if self.choices and value not in self.choices:
            raise UsageMistake(f"{where} is {value!r}; it may be {', '.join(self.choices)}")
        return value


_SETTINGS = (
    Setting("app_id", "as in com.example.notes", metavar="ID"),
    Setting("data_dir", "the app's data_dir; default: where it lies by default for the app id", "path", "DIR"),
    Setting("version", "of the code inside the installer; default: what the app said when it last ran", metavar="V"),
    Setting("builtin", "the folder that ships with the app", "path", "DIR"),
    Setting("public_key", "the publisher's public key (PEM); may be repeated", "keys", "FILE"),
    Setting("require_bound", "refuse bundles without a record of their own", "switch"),
    Setting(
        "allow_downgrade", "which older versions may come back", choices=tuple(_DOWNGRADES), switched=("no", "yes")
    ),
    Setting("entry", "a file that every bundle must have", metavar="NAME"),
    Setting("default_channel", "the channel to ask for", metavar="NAME"),
    Setting("update_url", "where updates are asked for; default: Capgo's own", metavar="URL"),
    Setting("stats_url", "where statistics go; default: Capgo's own", metavar="URL"),
    Setting("channel_url", "where channels are asked for; default: Capgo's own", metavar="URL"),
    Setting("auto_update", "the app's mode", choices=MODES, switched=("off", "atBackground")),
    Setting("device_id", "the device's UUID; default: the one in the data directory", metavar="UUID"),
    Setting("proxy", "an HTTP proxy; default: the environment's", metavar="URL"),
    Setting("allow_http", "permit plain http beyond loopback", "switch"),
)
_BY_NAME = {setting.name: setting for setting in _SETTINGS}

#: What tells a device on this machine; what asking the service takes beside it; what installing takes beside that.
DEVICE = ("app_id", "data_dir")
ASKING = (
    *DEVICE,
    "version",
    "public_key",
    "default_channel",
    "update_url",
    "channel_url",
    "device_id",
    "proxy",
    "allow_http",
)
INSTALLING = (*ASKING, "builtin", "stats_url", "require_bound", "allow_downgrade", "entry", "auto_update")


def add_app_options(parser: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    """Give a command these of the shared options."""
    group = parser.add_argument_group(
        "which app", f"each may stand in the environment ({_PREFIX}APP_ID ...) or in {_TABLE_HEAD} of {_TABLE_FILE} too"
    )
    for setting in _SETTINGS:
        if setting.name in names:
            setting.add_to(group)


def app_values(args: argparse.Namespace) -> dict[str, Any]:
    """What was given, by the names and in the form that ``Updater`` takes; what was not is not in it.

    All of it is looked for, also what this command has no option for: the table tells about the app. Raises
    UsageMistake.
    """
    given = _environment()
    given |= {name: vars(args)[name] for name in _BY_NAME if vars(args).get(name) is not None}
    given = {**_table(is_needed="app_id" not in given), **given}
    if "allow_downgrade" in given:
        given["allow_downgrade"] = _DOWNGRADES[given["allow_downgrade"]]
    if "public_key" in given:
        given["public_key"] = [key if key.startswith(_ARMOUR) else Path(key) for key in given["public_key"]]
    return given


def _environment() -> dict[str, Any]:
    found = {name: os.environ.get(setting.variable, "") for name, setting in _BY_NAME.items()}
    return {name: _BY_NAME[name].from_text(text, _BY_NAME[name].variable) for name, text in found.items() if text}


def _table(*, is_needed: bool) -> dict[str, Any]:
    values = {}
    for name, value in _read_table(is_needed=is_needed).items():
        if name not in _BY_NAME:
            near = difflib.get_close_matches(name, _BY_NAME, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(_BY_NAME)}"
            raise UsageMistake(f"{_TABLE_HEAD} in {_TABLE_FILE} has no setting {name!r}; {meant}")
        values[name] = _BY_NAME[name].from_table(value, f"{name} in {_TABLE_HEAD}")
    return values


def _read_table(*, is_needed: bool) -> dict[str, Any]:
    path = Path(_TABLE_FILE)
    try:
        text = path.read_text("utf-8") if path.is_file() else ""
    except (OSError, ValueError) as exc:
        raise UsageMistake(f"{_TABLE_FILE} cannot be read: {exc}") from exc
    if not _CAPGO_KEY.search(text):
        return {}
    toml = toml_reader()
    if toml is None:
        why = f"{_TABLE_HEAD} in {_TABLE_FILE} is not read: Python before 3.11 needs tomli for it (pip install tomli)"
        if is_needed:
            raise UsageMistake(f"{why}; or use options or the environment")
        sys.stderr.write(f"note: {why}; only options and the environment count\n")
        return {}
    try:
        return _table_within(toml.loads(text))
    except ValueError as exc:
        raise UsageMistake(f"{_TABLE_FILE} is no TOML: {exc}") from exc


def _table_within(document: Any) -> dict[str, Any]:
    """The table, however it is spelled; empty where there is none. Raises UsageMistake where it is something else."""
    for name in ("tool", "capgo"):
        document = document.get(name, {})
        if not isinstance(document, dict):
            raise UsageMistake(f"{name} in {_TABLE_FILE} is no table; write {_TABLE_HEAD}, and the settings below it")
    return dict(document)


def toml_reader() -> Any:
    """What reads TOML: the standard library's from Python 3.11 on, else tomli; None where there is neither."""
    for name in ("tomllib", "tomli"):
        with contextlib.suppress(ImportError):
            return import_module(name)
    return None
