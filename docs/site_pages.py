"""A hook of mkdocs: pages of the site that stand outside docs, and what links and pictures lead to.

README.md is the first page, SECURITY.md, CONTRIBUTING.md and CHANGELOG.md are pages too: on the site as in a checkout
there is one text of each. A link to any other file of the repository becomes that file's name.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Where each stands in the repository, and in the site.
OUTSIDE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs."""
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=_led(name, (ROOT / name).read_text("utf-8"))))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead the links of the other pages to where their targets are in the site."""
    name = page.file.src_uri
    return markdown if name in OUTSIDE.values() else _led(f"docs/{name}", markdown)


def _led(name: str, markdown: str) -> str:
    """``markdown`` of a file of the repository, with its links as the site has them."""

    def led(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        page = OUTSIDE.get(path, path.removeprefix("docs/"))
        if match["image"]:
            return f"![{match['text']}]({page})"
        if path in OUTSIDE or (path.startswith("docs/") and path.endswith(".md")):
            return f"[{match['text']}]({page}{match['anchor'] or ''})"
        return match["text"] if path in match["text"] else f"{match['text']} (`{path}`)"

    return _LINK.sub(led, markdown)
