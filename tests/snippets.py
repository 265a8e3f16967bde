"""The code blocks of README.md and of every page in docs: where each stands, what it is, what it is called."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
#: The commands of Capgo's own tool and their options, as its `--help` has them (`make interop` compares).
CAPGO_CLI = {
    ("login",): set(),
    ("app", "add"): set(),
    ("key", "create"): set(),
    ("bundle", "upload"): {"--bundle", "--path", "--channel", "--key-v2", "--no-code-check", "--delta", "--apikey"},
    ("bundle", "zip"): {"--bundle", "--path", "--name", "--no-code-check", "--key-v2", "--json"},
    ("channel", "set"): {"--bundle"},
}
#: Also indented, as in a list; what is fenced with tildes or more than three backticks is refused by a test.
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)(?P<rest>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block. ``title`` is what its first line says as a comment, "" where that is none."""

    page: str
    line: int
    language: str
    text: str

    @property
    def title(self) -> str:
        first = self.text.split("\n", 1)[0]
        return first.removeprefix("#").strip() if first.startswith("# ") else ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def body(self) -> str:
        """Without the title."""
        return self.text.split("\n", 1)[1] if self.title else self.text


def blocks(page: str, language: str | None = None) -> list[Block]:
    """The blocks of a page, in their order."""
    source = (ROOT / page).read_text("utf-8")
    found = []
    for match in _FENCE.finditer(source):
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        found.append(Block(page, source.count("\n", 0, match.start()) + 1, match["language"], text))
    return [block for block in found if language in {None, block.language}]


def files(page: str, language: str = "python") -> dict[str, str]:
    """What a page's blocks are called, and what is in them."""
    return {block.title: block.body for block in blocks(page, language)}


def section(page: str, heading: str) -> str:
    """What stands below a heading of the second level."""
    return (ROOT / page).read_text("utf-8").split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]


def commands(text: str) -> list[str]:
    """The commands of a block of shell lines, each with what it goes on to behind a backslash, without remarks.

    Of a block of console output (it has lines that begin with ``$``) only those lines are commands.
    """
    joined = text.replace("\\\n", " ")
    if re.search(r"^\$ ", joined, re.MULTILINE):
        joined = "\n".join(line[2:] for line in joined.splitlines() if line.startswith("$ "))
    return [line for line in (without_remark(line) for line in joined.splitlines()) if line]


def without_remark(line: str) -> str:
    """A line of shell up to its ``#``."""
    found = re.match(r"""(?:[^#'"]|'[^']*'|"[^"]*"|(?<=\S)#)*""", line)
    return (found[0] if found else line).strip()


def remark(line: str) -> str:
    """What stands behind the ``#`` of a line of shell."""
    return line[len(without_remark(line)) :].strip(" #") if "#" in line else ""


def words(command: str) -> list[str]:
    """One command's words, what is set for it in the environment left out, and what its output goes to."""
    parts = shlex.split(command)
    while parts and re.fullmatch(r"\w+=.*", parts[0]):
        parts.pop(0)
    return parts
