"""`capgo-client completion`: each shell itself runs the script, and offers what argparse would understand."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from capgo_client.cli import command_parser, main
from capgo_client.cli.word_tree import places

ASK = {
    "bash": """source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _capgo_client; printf '%s\\n' "${COMPREPLY[@]}" """,
    "zsh": """compdef() { :; }
_describe() { print -rl -- ${(@)found%%:*}; }
compadd() { shift; print -rl -- "$@"; }
_files() { if [[ $1 == -/ ]] { print -rl -- *(/N) } else { print -rl -- *(N) } }
source "$1"; shift
words=("$@"); CURRENT=$#; _capgo_client""",
    "fish": """source $argv[1]; complete -C (string join -- ' ' $argv[2..-1])""",
}
CASES = [
    (["capgo-client", "ver"], {"verify", "verify-seal"}),
    (["capgo-client", "channel", ""], {"get", "set", "unset", "list"}),
    (["capgo-client", "channel", "list", "--upd"], {"--update-url"}),
    (["capgo-client", "update", "--allow-d"], {"--allow-downgrade"}),
    (["capgo-client", "update", "--allow-downgrade", ""], {"above_builtin", "yes", "no"}),
    (["capgo-client", "completion", ""], {"bash", "zsh", "fish"}),
    (["capgo-client", "pack", "a-fo"], {"a-folder"}),
    (["capgo-client", "pack", "a-folder", "--keys", "a-fi"], {"a-file.pem"}),
    (["capgo-client", "update", "--data-dir", "a-"], {"a-folder"}),
    (["capgo-client", "check", "--proxy", "a-"], set()),
    (["capgo-client", "verify", "--json", "--gl"], {"--glance"}),
]


@pytest.fixture
def complete(tmp_path, capsys):
    """What a shell offers for the last of these words."""

    def run(shell, words):
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not on this machine")
        assert main(["completion", shell]) == 0
        script = tmp_path / "script"
        script.write_text(capsys.readouterr().out)
        place = tmp_path / "place"
        (place / "a-folder").mkdir(parents=True)
        (place / "a-file.pem").touch()
        bare = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        tail = [] if shell == "fish" else [shell]
        done = subprocess.run(
            [shell, *bare, "-c", ASK[shell], *tail, str(script), *words],
            capture_output=True, text=True, timeout=30, cwd=place, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        found = {line.partition("\t")[0].rstrip("/") for line in done.stdout.splitlines()}
        return {word for word in found if word.startswith(words[-1]) and word}

    return run


@pytest.mark.parametrize("shell", list(ASK))
@pytest.mark.parametrize(("words", "offered"), CASES, ids=[f"case {number}" for number in range(len(CASES))])
def test_a_shell_offers_what_can_follow(complete, shell, words, offered):
    found = complete(shell, words)
    if words[-1].startswith("-") or words[-1]:
        assert found == offered
    else:  # beside the options of that place
        assert {word for word in found if not word.startswith("-")} == offered


def test_every_command_and_option_is_known():
    tree = {place.path: place for place in places(command_parser())}
    listed = {(name,) for name, _ in tree[()].commands}
    assert listed == {path for path in tree if len(path) == 1}
    assert {("verify",), ("channel", "set"), ("pack",)} <= set(tree)
    assert all(words for place in tree.values() for _, words in place.commands)
    assert all(option.help for place in tree.values() for option in place.options)


def test_an_unknown_shell_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])
    assert caught.value.code == 2
    assert "bash" in capsys.readouterr().err
