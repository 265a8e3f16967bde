"""What of a bundle is run: ``module:function``, or ``module`` as ``python -m`` would; the bundle's own, no other."""

from __future__ import annotations

import os
import sys
from importlib import import_module, invalidate_caches
from importlib.machinery import PathFinder

from capgo_client.errors import BundleError, ConfigError
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from capgo_client.bundle import Bundle

__all__ = ["Entry", "parsed"]

_MAIN = "__main__"


@dataclass(frozen=True, slots=True)
class Entry:
    """``function`` is empty where the module itself is the program."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}" if self.function else self.module

    def opened(self, bundle: Bundle, *, builtin: str | None) -> Callable[[], object]:
        """Put the bundle's folder first on the import path and load what is run; calling the result runs it.

        ``builtin`` is the folder that ships with the app: nothing of it is imported into another version.

        Raises:
            BundleError: ``entry_missing``, the bundle has no such module or function.
            ConfigError: the same, of the builtin.
            Exception: whatever the module raises when it is imported.
        """
        folder = None if bundle.path is None else str(bundle.path)
        if builtin is not None and not bundle.is_builtin:
            _shut_out(builtin)
        if folder is not None:
            sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
            invalidate_caches()
            self._claim(folder, bundle)
        return self._program(bundle) if self.function == "" else self._callable(bundle)

    def _claim(self, folder: str, bundle: Bundle) -> None:
        """What the entry is called is taken from ``folder`` and from nowhere else, imported before or not."""
        top = self.module.partition(".")[0]
        if PathFinder.find_spec(top, [folder]) is None:
            raise self._missing(bundle, f"there is no module {top}")
        module = sys.modules.get(top)
        if module is not None and not _lies_in(module, folder):
            _forget(lambda name, _: name == top or name.startswith(f"{top}."))

    def _program(self, bundle: Bundle) -> Callable[[], object]:
        """The module as ``__main__``; runpy costs a launch more than a function does."""
        import runpy
        from importlib.util import find_spec

        try:
            spec = find_spec(self.module)
        except ModuleNotFoundError as exc:
            raise self._unless_within(exc, bundle) from exc
        if spec is None:
            raise self._missing(bundle, f"there is no module {self.module}")

        def program() -> None:
            runpy.run_module(self.module, run_name=_MAIN, alter_sys=True)

        return program

    def _callable(self, bundle: Bundle) -> Callable[[], object]:
        try:
            module = import_module(self.module)
        except ModuleNotFoundError as exc:
            raise self._unless_within(exc, bundle) from exc
        function: Callable[[], object] | None = getattr(module, self.function, None)
        if not callable(function):
            raise self._missing(bundle, f"{self.module} has no function {self.function}")
        return function

    def _unless_within(self, exc: ModuleNotFoundError, bundle: Bundle) -> Exception:
        """``exc`` itself, where it is another module that the bundle's own code looked for in vain."""
        is_ours = exc.name is not None and f"{self.module}.".startswith(f"{exc.name}.")
        return self._missing(bundle, f"there is no module {exc.name}") if is_ours else exc

    def _missing(self, bundle: Bundle, why: str) -> BundleError | ConfigError:
        if bundle.is_builtin:
            return ConfigError(
                f"{self} cannot be run: {why} in the builtin",
                code="entry_missing",
                hint='the entry is "module:function", counted from the folder that is given as builtin',
            )
        return BundleError(
            f"{self} cannot be run: {why} in {bundle.version}",
            code="entry_missing",
            hint='publish it with the same folder as before, and name its main file in Updater(entry="main.py")',
        )


def parsed(text: object) -> Entry:
    """The entry, if it can be one. Raises ConfigError."""
    if isinstance(text, str):
        module, colon, function = text.partition(":")
        names = [*module.split("."), *([function] if colon else [])]
        if all(name.isidentifier() for name in names) and names[0] not in _pythons_own():
            return Entry(module, function)
    raise ConfigError(
        f"entry: {text!r} is not possible",
        hint='allowed: "module:function" or "module", as in "main:main"; no name of Python\'s own modules',
    )


def _pythons_own() -> frozenset[str]:
    return sys.stdlib_module_names | {_MAIN, "capgo_client"}


# ---- the builtin stays out of other versions ----


class _Guard:
    """Stands before all other finders, and lets nothing through that lies in the builtin's folder.

    The start file's folder is on the path, and the builtin's in it: ``import app.main`` would mix two versions. So does
    a finder that knows where the builtin lies; an editable install has one.
    """

    def __init__(self, builtin: str) -> None:
        self._builtin = builtin

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ModuleNotFoundError where the module of that name is the builtin's."""
        spec = self._found(name, path, target)
        if spec is None:
            return None
        places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
        if places and all(_is_inside(place, self._builtin) for place in places):
            raise ModuleNotFoundError(f"{name!r} is a module of the builtin, and another version is open", name=name)
        return spec

    def _found(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        """What the finders behind this one say."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None


def _shut_out(builtin: str) -> None:
    """Nothing of the builtin's folder is imported any more, nor counts as imported."""
    _forget(lambda name, module: name != _MAIN and _lies_in(module, builtin))
    sys.path[:] = [place for place in sys.path if not _is_inside(place or os.curdir, builtin)]
    sys.meta_path.insert(0, _Guard(builtin))


def _forget(is_meant: Callable[[str, ModuleType], bool]) -> None:
    for name, module in list(sys.modules.items()):
        if is_meant(name, module):
            del sys.modules[name]


def _lies_in(module: ModuleType, folder: str) -> bool:
    try:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    except Exception:  # stand-ins for modules may do anything when they are asked
        return False
    return any(_is_inside(place, folder) for place in places)


#: Where folders really lie; of many modules one is asked for.
_real_folders: dict[str, str] = {}


def _is_inside(place: object, folder: str) -> bool:
    """Also by way of links, on either side."""
    if not isinstance(place, str):
        return False
    try:
        head, tail = os.path.split(os.path.abspath(place))
    except OSError:  # it counts from the current folder, and that is gone
        return False
    places = {os.path.normcase(os.path.join(each, tail)) for each in (head, _real(head))}
    folders = {os.path.normcase(each).rstrip(os.sep) for each in (folder, _real(folder))}
    return any(name == each or name.startswith(each + os.sep) for name in places for each in folders)


def _real(folder: str) -> str:
    if folder not in _real_folders:
        _real_folders[folder] = os.path.realpath(folder)
    return _real_folders[folder]
