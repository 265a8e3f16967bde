"""Which file names a bundle may hold: those that mean one and the same file on every system.

The rules are those of reference/bundle-formats.md section 6 and hold everywhere, so that a bundle that installs on
one system installs on all. A name is taken as it is: never percent-decoded (section 5 there), never repaired.
"""

from __future__ import annotations

import re
import unicodedata

from capgo_client.errors import ArchiveError

__all__ = ["NameSet", "check_name"]

_MAX_PART_BYTES = 255
_MAX_PATH_BYTES = 1024
_MAX_DEPTH = 64
_C1 = range(0x80, 0xA0)
#: Marks that turn the direction of text (a name would read otherwise than it is), and the line separators.
_UNPRINTABLE = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_CONTROL = frozenset(map(chr, (*range(0x20), 0x7F, *_C1))) | _UNPRINTABLE
_FORBIDDEN = frozenset('<>:"|?*')
_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"}
)
#: Nearly every name there is, and allowed as it stands: parts of plain letters, digits, ``_ - .`` that neither begin
#: nor end in a dot and are no device. What does not match is looked at closely.
_PLAIN = re.compile(
    r"(?!(?:.*/)?(?:con|prn|aux|nul|com\d|lpt\d)(?:[./]|\Z))"
    r"[0-9a-z_-](?:[0-9a-z_.-]*[0-9a-z_-])?(?:/[0-9a-z_-](?:[0-9a-z_.-]*[0-9a-z_-])?)*",
    re.ASCII | re.IGNORECASE,
)


def check_name(name: str) -> tuple[str, ...]:
    """Split a relative path at ``/``, or refuse it. The ``/`` at the end of a folder's name is for the caller to cut.

    Raises:
        ArchiveError: ``name_not_utf8``, ``name_control``, ``windows_path_fail`` (a backslash), ``canonical_path_fail``
            (absolute, a drive, a ``.`` or ``..`` part), ``name_character``, ``name_empty`` (or an empty part),
            ``name_too_long``, ``name_trailing`` (dot or space at the end of a part), ``name_reserved``.
    """
    if len(name) <= _MAX_PART_BYTES and name.count("/") < _MAX_DEPTH and _PLAIN.fullmatch(name):
        return tuple(name.split("/"))
    size = _utf8_size(name)
    _check_characters(name)
    parts = tuple(name.split("/"))
    if size > _MAX_PATH_BYTES or len(parts) > _MAX_DEPTH:
        raise _refused(name, "name_too_long", f"longer than {_MAX_PATH_BYTES} bytes or deeper than {_MAX_DEPTH}")
    for part in parts:
        _check_part(name, part)
    return parts


def _check_characters(name: str) -> None:
    if not name:
        raise _refused(name, "name_empty", "it is empty")
    if not _CONTROL.isdisjoint(name):
        raise _refused(name, "name_control", "it holds a control character")
    if "\\" in name:
        raise _refused(name, "windows_path_fail", "it holds a backslash")
    if name[0] == "/" or (name[1:2] == ":" and name[0].isalpha()):
        raise _refused(name, "canonical_path_fail", "it is absolute")
    if not _FORBIDDEN.isdisjoint(name):
        raise _refused(name, "name_character", 'one of < > : " | ? * is in it')


def _check_part(name: str, part: str) -> None:
    if not part:
        raise _refused(name, "name_empty", "a part of it is empty")
    if part in {".", ".."}:
        raise _refused(name, "canonical_path_fail", "it holds a . or .. part")
    if not part.isascii() and _is_path_in_disguise(part):
        raise _refused(name, "canonical_path_fail", "some systems read a .. part in it")
    if len(part) * 4 > _MAX_PART_BYTES and len(part.encode()) > _MAX_PART_BYTES:
        raise _refused(name, "name_too_long", f"a part of it is longer than {_MAX_PART_BYTES} bytes")
    if part[-1] in ". ":
        raise _refused(name, "name_trailing", "a part of it ends in a dot or a space, which Windows drops")
    if part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        raise _refused(name, "name_reserved", "Windows keeps it for a device")


def _is_path_in_disguise(part: str) -> bool:
    """Whether what folds compatible characters (fullwidth forms, for one) into plain ones would be led elsewhere.

    A fullwidth slash by itself is an ordinary character of Japanese file names.
    """
    folded = unicodedata.normalize("NFKC", part).replace("\\", "/")
    return folded[:1] == "/" or not {".", ".."}.isdisjoint(folded.split("/"))


def _utf8_size(name: str) -> int:
    try:
        return len(name.encode())
    except UnicodeEncodeError as exc:  # a lone surrogate, which JSON can bring in
        raise _refused(name, "name_not_utf8", "it cannot be written in UTF-8") from exc


def _refused(name: str, code: str, why: str) -> ArchiveError:
    # ascii() and the cut: a hostile name must neither forge log lines nor fill them.
    return ArchiveError(
        f"the file name {name[:80]!a} is refused: {why}", code=code, hint="rename the file and pack anew"
    )


class NameSet:
    """The names of one bundle: no two that some file system takes for one, no path that is file and folder.

    Case and composition are not told apart, for macOS and Windows do not tell them apart either, nor are characters
    that are compatible (Unicode's compatibility caseless match D146), nor the four letters i of Turkish: no bundle
    needs two such names, and who reads them sees one. Parent folders too: ``a/x`` beside ``A/y`` is refused.
    """

    def __init__(self) -> None:
        #: Every path so far, files and folders, by what it has in common with the spellings that are taken for it.
        self._spelling: dict[str, str] = {}
        self._folders: set[str] = set()
        #: Folders that were listed by themselves; the others are only parents.
        self._listed: set[str] = set()

    def add_file(self, parts: tuple[str, ...]) -> None:
        """Take a file of these parts.

        Raises:
            ArchiveError: ``name_duplicate``, ``name_collision`` (another spelling), ``name_file_and_folder``.
        """
        path = "/".join(parts)
        self._add_parents(path)
        if path in self._folders:
            raise _refused(path, "name_file_and_folder", "it is a file and a folder")
        if not self._claim(path):
            raise _refused(path, "name_duplicate", "it is there twice")

    def add_folder(self, parts: tuple[str, ...]) -> None:
        """Take a folder that is listed by itself; raises as ``add_file``."""
        path = "/".join(parts)
        self._add_parents(path)
        self._add_parent(path)
        if path in self._listed:
            raise _refused(path, "name_duplicate", "it is there twice")
        self._listed.add(path)

    def _add_parents(self, path: str) -> None:
        end = path.rfind("/")
        while end > 0 and self._add_parent(path[:end]):
            end = path.rfind("/", 0, end)

    def _add_parent(self, path: str) -> bool:
        """Take a folder; say whether it is new (else its parents were taken with it)."""
        if path in self._folders:
            return False
        if not self._claim(path):
            raise _refused(path, "name_file_and_folder", "it is a file and a folder")
        self._folders.add(path)
        return True

    def _claim(self, path: str) -> bool:
        """Whether nothing has this path so far; raises for another spelling of it."""
        known, folded = len(self._spelling), _fold(path)
        # One object for both, where they are equal: that is most of what fifty thousand names cost.
        if self._spelling.setdefault(path if folded == path else folded, path) != path:
            raise _refused(path, "name_collision", "another name differs from it only in case, composition or width")
        return len(self._spelling) > known


def _fold(path: str) -> str:
    if path.isascii():
        return path.lower()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", path).casefold())
    return folded.replace("\u0131", "i").replace("i\u0307", "i")
