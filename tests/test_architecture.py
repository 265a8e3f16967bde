"""The shape that the design demands, held by reading the source: who imports whom, and who touches the world."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import capgo_client

PACKAGE = Path(capgo_client.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Lowest first. A part may import those below it; parts of one row are siblings and do not know each other.
LAYERS = (
    {"_version", "errors", "log", "platforms", "values", "wire"},
    {"bundle", "seams"},
    {"protocol"},
    {"life", "events"},
    {"verify"},
    {"net", "fetch", "install", "stats"},
    {"options"},
    {"addresses"},
    {"config", "event_stream", "ready", "worker"},
    {"service", "delta"},
    {"opening", "arrival", "presence"},
    {"journal"},
    {"progress"},
    {"result"},
    {"session", "cycle", "starting", "upkeep"},
    {"backstage"},
    {"explain", "engine"},
    {"manual", "asking"},
    {"updater"},
)
#: Not part of the library proper: they may use all of it, and nothing of it may use them.
OUTSIDE = {"testing", "cli", "integrations", "launcher", "__init__", "__main__"}


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rank(part: str) -> int:
    return next(i for i, row in enumerate(LAYERS) if part in row)


@cache
def parsed(module: Path) -> ast.Module:
    """Its syntax tree, made once: six tests look at each."""
    return ast.parse(module.read_text("utf-8"))


def runtime_nodes(tree: ast.AST) -> list[ast.AST]:
    """All nodes that run: what stands under `if TYPE_CHECKING:` does not."""
    found: list[ast.AST] = []
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            stack.extend(node.orelse)
            continue
        found.append(node)
        stack.extend(ast.iter_child_nodes(node))
    return found


def imports(module: Path) -> set[str]:
    """Every module that a file imports when it runs, also inside functions."""
    names: set[str] = set()
    for node in runtime_nodes(parsed(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_every_module_has_its_row():
    parts = {part_of(module) for module in MODULES} - OUTSIDE
    assert parts <= set().union(*LAYERS)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_arrows_run_one_way(module: Path):
    part = part_of(module)
    if part in OUTSIDE:
        return
    used = {name.split(".")[1] for name in imports(module) if name.startswith("capgo_client.")} - {part}
    assert not used & OUTSIDE
    for other in used & set().union(*LAYERS):
        assert rank(other) < rank(part), f"{part} imports {other}"


def test_only_verify_imports_cryptography_and_only_net_the_http_client():
    for module in MODULES:
        part = part_of(module)
        if part == "testing":
            continue
        roots = {name.split(".")[0] for name in imports(module)}
        assert "cryptography" not in roots or part == "verify", module
        assert not roots & {"httpx", "httpcore", "ssl"} or part == "net", module


#: Names of `os` that touch the file system; `seams` and `platforms` are the only places for them.
FILE_CALLS = {
    "open", "read", "write", "pread", "replace", "rename", "unlink", "remove", "rmdir", "mkdir", "makedirs", "chmod",
    "stat", "lstat", "fstat", "scandir", "listdir", "fsync", "ftruncate", "lseek", "close", "link", "symlink", "walk",
}  # fmt: skip


def test_every_file_call_and_every_clock_goes_through_a_seam():
    for module in MODULES:
        part = part_of(module)
        if part in {"testing", "seams", "platforms"}:
            continue
        for node in runtime_nodes(parsed(module)):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called != "open", f"{module}:{node.lineno} opens a file past the seam"
            assert not (called.startswith("os.") and called[3:] in FILE_CALLS), f"{module}:{node.lineno} {called}"
            if called in {"time.time", "time.monotonic", "time.sleep", "datetime.now"}:
                assert module.name in {"deadline.py", "engine.py"}, f"{module}:{node.lineno} {called}"


def test_functions_and_modules_stay_small():
    for module in MODULES:
        tree = parsed(module)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert length <= 60, f"{module}:{node.lineno} {node.name} has {length} lines"


def test_nothing_is_named_after_no_purpose():
    for module in MODULES:
        assert not {"utils", "util", "helpers", "helper", "manager", "common", "misc"} & set(module.stem.split("_"))


#: What turns data into code, or hands text to a shell. `re.compile` is another matter.
FORBIDDEN_MODULES = {
    "pickle",
    "shelve",
    "marshal",
    "yaml",
    "dill",
    "code",
    "codeop",
    "subprocess",
    "pty",
    "ctypes.util",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile"}
#: Developers' commands start the app under test as a process of its own, and the test kit its own helpers; no device
#: runs either of them.
MAY_START_PROCESSES = {"cli", "testing"}
#: Starts the interpreter that it runs in once more, with the command line that this one was started with.
STARTS_ITSELF = "launcher/fresh.py"


def test_nothing_that_was_read_becomes_code_and_no_shell_is_started():
    for module in MODULES:
        tree = parsed(module)
        found = FORBIDDEN_MODULES & {part for name in imports(module) for part in (name, name.split(".")[0])}
        starts_itself = module.relative_to(PACKAGE).as_posix() == STARTS_ITSELF
        allowed = {"subprocess"} if starts_itself or part_of(module) in MAY_START_PROCESSES else set()
        assert found <= allowed, f"{module}: {found}"
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, f"{module}:{node.lineno} {called}"
            starts = called.startswith(("os.exec", "os.spawn", "os.posix_spawn"))
            assert not starts or (starts_itself and called == "os.execve"), f"{module}:{node.lineno} {called}"
            shell = [k.value for k in node.keywords if k.arg == "shell"]
            assert all(isinstance(v, ast.Constant) and v.value is False for v in shell), f"{module}:{node.lineno} shell"


#: What is compared with what a signature, or the reply, announced.
COMPARES_DIGESTS = (
    "verify", "fetch", "delta.py", "arrival.py", "install/assemble.py", "install/reuse.py", "install/bound_empties.py",
)  # fmt: skip


def names_a_digest(node: ast.expr) -> bool:
    """Whether it ends in such a name, as `self._order.digest` and `whole.digest()` do; constants are no secrets."""
    text = ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2].lower()
    return not text.isupper() and text in {"digest", "checksum", "signature", "hexdigest", "opened", "found_digest"}


def test_digests_and_signed_values_are_compared_in_constant_time():
    compared = 0
    for module in MODULES:
        if not module.relative_to(PACKAGE).as_posix().startswith(COMPARES_DIGESTS):
            continue
        for node in ast.walk(parsed(module)):
            compared += isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                continue
            sides = (node.left, *node.comparators)
            if module.name == "partial.py" or ast.unparse(sides[1]) == "_NOTHING":
                continue  # which download a note on disk belongs to; a mark that stands for no content
            assert not any(map(names_a_digest, sides)), f"{module}:{node.lineno} {ast.unparse(node)}"
    assert compared >= 9
