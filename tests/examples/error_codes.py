"""Every error code that the library can raise or report, read off its source.

A code is what is given to something's ``code``: as a keyword, at its place in a call of one of our functions or
classes that has such a parameter, as the attribute of an error class, or by a name ``code`` that is then given on.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import capgo_client
from capgo_client import errors

if TYPE_CHECKING:
    from collections.abc import Collection

PACKAGE = Path(capgo_client.__file__).parent
#: Not the library proper. The launcher is: it raises in the app.
OUTSIDE = {"testing", "cli", "integrations"}
#: Modules that know the service's words: where they stand in them.
WORDS = {
    "protocol/codes.py": {"BREAKING_CODE", "PARSE_ERROR", "RESPONSE_ERROR", "_BLOCKED", "_FAILED", "_MEANING"},
    "protocol/channels.py": {"_NOT_FOUND", "_UNASSIGNABLE", "_PASSING", "_HINTS"},
}
#: Codes that are put together, by what they begin with: the table with the rest.
COMPOSED = {"archive_limit_": ("install/archive.py", "_OPTIONS")}


@cache
def trees() -> dict[str, ast.Module]:
    paths = (path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")))
    return {
        path.as_posix(): ast.parse((PACKAGE / path).read_text("utf-8"))
        for path in paths
        if path.parts[0] not in OUTSIDE
    }


def codes() -> dict[str, set[str]]:
    """Each code and the modules that it is in."""
    found: dict[str, set[str]] = {}
    sources = trees()
    places = _places(sources)
    for module, tree in sources.items():
        for node in ast.walk(tree):
            for text in _given(node, places):
                found.setdefault(text, set()).add(module)
        for text in _words(tree, WORDS.get(module, ())):
            found.setdefault(text, set()).add(module)
    for prefix, (module, table) in COMPOSED.items():
        assert any(prefix in text for text in _constants(sources[module])), prefix
        for text in _words(sources[module], {table}):
            found.setdefault(prefix + text, set()).add(module)
    return {text: modules for text, modules in found.items() if text.isidentifier()}


def _places(sources: dict[str, ast.Module]) -> dict[str, int]:
    """Our functions and classes with a parameter or field ``code``, and which positional argument that is."""
    found = {}
    for tree in sources.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [arg.arg for arg in node.args.args if arg.arg != "self"]
                name = node.name
            elif isinstance(node, ast.ClassDef):
                fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
                names, name = [field.id for field in fields if isinstance(field, ast.Name)], node.name
            else:
                continue
            if "code" in names:
                found[name] = names.index("code")
    return found


def _given(node: ast.AST, places: dict[str, int]) -> list[str]:
    if isinstance(node, ast.Call):
        values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        values += node.args[places[called] : places[called] + 1] if called in places else []
    elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        values = [node.value] if any(getattr(target, "id", "") == "code" for target in targets) else []
    elif isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
        names = [getattr(target, "id", "") for target in node.target.elts]
        rows = node.iter.elts if isinstance(node.iter, ast.Tuple) and "code" in names else []
        values = [row.elts[names.index("code")] for row in rows if isinstance(row, ast.Tuple)]
    else:
        return []
    return [text for value in values for text in _results(value)]


def _results(value: ast.expr) -> list[str]:
    """The texts that an expression can come to; what is only asked in a condition is none."""
    if isinstance(value, ast.IfExp):
        return _results(value.body) + _results(value.orelse)
    if isinstance(value, ast.BoolOp):
        return [text for each in value.values for text in _results(each)]
    return [value.value] if isinstance(value, ast.Constant) and isinstance(value.value, str) else []


def _words(tree: ast.Module, names: Collection[str]) -> list[str]:
    """The texts in a module's assignments to these names; of a table its keys."""
    found = []
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = getattr(target, "id", "")
            if name in names:
                keys = [each for each in node.value.keys if each] if isinstance(node.value, ast.Dict) else [node.value]
                found += [text for value in keys for text in _constants(value)]
    return found


def _constants(tree: ast.AST) -> list[str]:
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@cache
def classes() -> dict[str, set[str]]:
    """The error classes that each code is raised with, where the source says so at that place."""
    sources = trees()
    makers = _makers(sources)
    places = _places(sources)
    found: dict[str, set[str]] = {}
    for tree in sources.values():
        own = {**makers.get("", {}), **_makers({"": tree}).get("", {})}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in errors.__all__:
                for each in node.body:
                    for text in _given(each, {}):
                        found.setdefault(text, set()).add(node.name)
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in errors.__all__ or called in own:
                for text in _given(node, places):
                    found.setdefault(text, set()).add(own.get(called, called))
    return {text: kinds for text, kinds in found.items() if text.isidentifier()}


def _makers(sources: dict[str, ast.Module]) -> dict[str, dict[str, str]]:
    """Functions that make an error of the code that they are given, and its class."""
    found: dict[str, str] = {}
    for tree in sources.values():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef) or "code" not in {arg.arg for arg in function.args.args}:
                continue
            for node in ast.walk(function):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called in errors.__all__ and any(ast.unparse(keyword) == "code=code" for keyword in node.keywords):
                    found[function.name] = called
    return {"": found}
