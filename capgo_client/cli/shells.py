"""The completion scripts. Each finds out after which command the cursor stands, and offers what can follow there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from capgo_client.cli.word_tree import Option, Place

__all__ = ["SCRIPTS"]

_BASH = """# bash completion for capgo-client
_capgo_client() {{
    local IFS=$'\\n' at='' word
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$at $word" in
{steps}
        esac
    done
    COMPREPLY=()
    case "$at $previous" in
{values}
    esac
    case "$at" in
{words}
    esac
}}
complete -F _capgo_client capgo-client
"""
_BASH_OFFERS = {
    "file": 'compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$current"))',
    "folder": 'compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$current"))',
}
_ZSH = """#compdef capgo-client
_capgo_client() {{
    local at='' word previous=${{words[CURRENT-1]}}
    local -a found
    for word in ${{words[2,CURRENT-1]}}; do
        case "$at $word" in
{steps}
        esac
    done
    case "$at $previous" in
{values}
    esac
    case "$at" in
{words}
    esac
}}
if [[ ${{zsh_eval_context[-1]}} == loadautofunc ]]; then
    _capgo_client "$@"
else
    compdef _capgo_client capgo-client
fi
"""
_ZSH_OFFERS = {"file": "_files", "folder": "_files -/"}
_FISH = """# fish completion for capgo-client
function __capgo_client_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
{steps}
        end
    end
    test "$at" = "$argv"
end
complete -c capgo-client -f
{words}
"""
_FISH_OFFERS = {"nothing": "", "text": " -x", "file": " -r -F", "folder": " -x -a '(__fish_complete_directories)'"}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _steps(places: Iterable[Place], form: str) -> str:
    """How each command leads from one place to another."""
    return "\n".join(
        form.format(
            before=_quoted(f"{' '.join(place.path[:-1])} {place.path[-1]}"), after=_quoted(" ".join(place.path))
        )
        for place in places
        if place.path
    )


def _values(places: Iterable[Place], offer: Callable[[Option], str]) -> str:
    """What follows an option that takes a value."""
    lines = []
    for place in places:
        at = " ".join(place.path)
        for option in place.options:
            spelled = "|".join(_quoted(f"{at} {flag}") for flag in option.flags)
            if option.wants != "nothing":
                lines.append(f"        {spelled}) {offer(option)}; return ;;")
    return "\n".join(lines)


def _flags(place: Place) -> list[str]:
    return [flag for option in place.options for flag in option.flags]


# ---- bash ----


def _bash(places: tuple[Place, ...]) -> str:
    return _BASH.format(
        steps=_steps(places, "            {before}) at={after} ;;"),
        values=_values(places, _bash_offer),
        words="\n".join(f"        {_quoted(' '.join(place.path))}) {_bash_words(place)} ;;" for place in places),
    )


def _bash_offer(option: Option) -> str:
    return _BASH_OFFERS.get(option.wants) or _bash_choice(option.choices)


def _bash_choice(words: Iterable[str]) -> str:
    listed = "\\n".join(words)
    return f"COMPREPLY+=($(compgen -W $'{listed}' -- \"$current\"))" if listed else ":"


def _bash_words(place: Place) -> str:
    words = [*(name for name, _ in place.commands), *place.positional.choices, *_flags(place)]
    more = _BASH_OFFERS.get(place.positional.wants)
    return "; ".join(filter(None, (_bash_choice(words), more)))


# ---- zsh ----


def _zsh(places: tuple[Place, ...]) -> str:
    return _ZSH.format(
        steps=_steps(places, "            {before}) at={after} ;;"),
        values=_values(places, _zsh_offer),
        words="\n".join(f"        {_quoted(' '.join(place.path))}) {_zsh_words(place)} ;;" for place in places),
    )


def _zsh_offer(option: Option) -> str:
    if option.choices:
        return f"compadd -- {' '.join(map(_quoted, option.choices))}"
    return _ZSH_OFFERS.get(option.wants, ":")


def _zsh_words(place: Place) -> str:
    parts = []
    if place.commands:
        parts.append(f"found=({' '.join(_described(*each) for each in place.commands)}); _describe command found")
    if place.positional.wants in {"choice", "file", "folder"}:
        parts.append(_zsh_offer(place.positional))
    options = [(flag, option.help) for option in place.options for flag in option.flags]
    parts.append(f"found=({' '.join(_described(*each) for each in options)}); _describe -o option found")
    return "; ".join(parts)


def _described(name: str, words: str) -> str:
    return _quoted(f"{name}:{words.replace(':', chr(92) + ':')}")


# ---- fish ----


def _fish(places: tuple[Place, ...]) -> str:
    steps = _steps(places, "            case {before}\n                set at {after}")
    return _FISH.format(steps=steps, words="\n".join(line for place in places for line in _fish_lines(place)))


def _fish_lines(place: Place) -> Iterator[str]:
    here = f"complete -c capgo-client -n {_quoted('__capgo_client_at ' + _fish_path(place))}"
    for name, words in place.commands:
        yield f"{here} -a {name} -d {_quoted(words)}"
    if place.positional.wants != "nothing":
        offer = _fish_offer(place.positional).replace(" -x", "").replace(" -r", "")
        yield f"{here}{offer}" if offer else here
    for option in place.options:
        names = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
        yield f"{here} {names}{_fish_offer(option)} -d {_quoted(option.help)}"


def _fish_path(place: Place) -> str:
    return f'"{" ".join(place.path)}"'


def _fish_offer(option: Option) -> str:
    if option.choices:
        return f" -x -a {_quoted(' '.join(option.choices))}"
    return _FISH_OFFERS[option.wants]


SCRIPTS: dict[str, Callable[[tuple[Place, ...]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
