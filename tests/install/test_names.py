from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.errors import ArchiveError
from capgo_client.install import names as names_module
from capgo_client.install.names import NameSet, check_name


def code_of(name: str) -> str:
    with pytest.raises(ArchiveError) as caught:
        check_name(name)
    assert caught.value.message.isascii(), "a hostile name must not reach a log as it is"
    assert "\n" not in caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("main.py", ("main.py",)),
        ("assets/i18n/привет/日本語-été_😀.json", ("assets", "i18n", "привет", "日本語-été_😀.json")),
        ("assets/e\u0301-nfd.txt", ("assets", "e\u0301-nfd.txt")),
        ("assets/sym%20bol+plus#hash&amp.txt", ("assets", "sym%20bol+plus#hash&amp.txt")),
        ("%2e%2e%2fevil.txt", ("%2e%2e%2fevil.txt",)),
        (".env", (".env",)),
        ("..a/b..c/...d", ("..a", "b..c", "...d")),
        (" leading", (" leading",)),
        ("~user", ("~user",)),
        ("-rf", ("-rf",)),
        ("console.py", ("console.py",)),
        ("com/null/auxiliary.py", ("com", "null", "auxiliary.py")),
        ("COM10/COMA.txt", ("COM10", "COMA.txt")),
        ("a.con", ("a.con",)),
        ("família/👩\u200d💻.txt", ("família", "👩\u200d💻.txt")),
        ("資料／説明.txt", ("資料／説明.txt",)),
        ("℀½.txt", ("℀½.txt",)),
        ("n" * 255, ("n" * 255,)),
        ("é" * 127, ("é" * 127,)),
    ],
)
def test_names_that_every_system_can_keep_are_taken_as_they_are(name, parts):
    assert check_name(name) == parts


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name_empty"),
        ("a//b.txt", "name_empty"),
        ("a/", "name_empty"),
        ("/", "canonical_path_fail"),
        ("/tmp/x", "canonical_path_fail"),
        ("//server/share/x", "canonical_path_fail"),
        (".", "canonical_path_fail"),
        ("..", "canonical_path_fail"),
        ("../x", "canonical_path_fail"),
        ("a/../x", "canonical_path_fail"),
        ("a/..", "canonical_path_fail"),
        ("./x", "canonical_path_fail"),
        ("a/./x", "canonical_path_fail"),
        ("C:/x", "canonical_path_fail"),
        ("c:x", "canonical_path_fail"),
        ("a\\b", "windows_path_fail"),
        ("..\\x", "windows_path_fail"),
        ("\\\\server\\x", "windows_path_fail"),
        ("C:\\x", "windows_path_fail"),
        ("main.py:evil", "name_character"),
        ("a<b", "name_character"),
        ("a>b", "name_character"),
        ('a"b', "name_character"),
        ("a|b", "name_character"),
        ("a?b", "name_character"),
        ("d/*/b", "name_character"),
        ("main.py\0.txt", "name_control"),
        ("a\nb", "name_control"),
        ("a\x1b[31m", "name_control"),
        ("a\x7f", "name_control"),
        ("a\x85b", "name_control"),
        ("a\u202egnp.py", "name_control"),
        ("a\u2066b", "name_control"),
        ("a\u200fb", "name_control"),
        ("a\u061cb", "name_control"),
        ("a\u2028b", "name_control"),
        ("\ufeffmain.py", "name_control"),
        ("a\ud800b", "name_not_utf8"),
        ("a.", "name_trailing"),
        ("a ", "name_trailing"),
        ("...", "name_trailing"),
        ("dir./x", "name_trailing"),
        ("dir /x", "name_trailing"),
        ("CON", "name_reserved"),
        ("nul.txt", "name_reserved"),
        ("aux/x.py", "name_reserved"),
        ("x/Prn.tar.gz", "name_reserved"),
        ("COM1.log", "name_reserved"),
        ("com9", "name_reserved"),
        ("LPT\u00b9", "name_reserved"),
        ("com\u00b2.x", "name_reserved"),
        ("CONIN$", "name_reserved"),
        ("conout$.py", "name_reserved"),
        ("con .txt", "name_reserved"),
        ("n" * 256, "name_too_long"),
        ("é" * 128, "name_too_long"),
        ("a/" + "n" * 300 + "/b", "name_too_long"),
        ("/".join(["n" * 200] * 6), "name_too_long"),
        ("/".join(["d"] * 65), "name_too_long"),
    ],
)
def test_names_that_some_system_reads_otherwise_are_refused_by_reason(name, code):
    assert code_of(name) == code


@given(st.text(max_size=60))
def test_a_name_comes_back_as_its_parts_or_is_refused_as_ours(name):
    try:
        parts = check_name(name)
    except ArchiveError:
        return
    assert "/".join(parts) == name
    assert not {"", ".", ".."} & set(parts)


_PARTS = st.text(alphabet="aAcCoOnN19_-. /", max_size=12) | st.sampled_from(
    ["con", "CON.txt", "com1", "LPT9.a.b", "nul", "aux.", "x.con", "con-", "com10", "..", ".a", "a.", "n" * 130, "a b"]
)


@given(st.lists(_PARTS, min_size=1, max_size=70).map("/".join))
def test_names_of_plain_letters_are_judged_as_all_others_are(name):
    """Most names are taken at one look; with it or without it the judgement is the same."""

    def judged() -> object:
        try:
            return check_name(name)
        except ArchiveError as exc:
            return exc.code

    with pytest.MonkeyPatch.context() as patch:
        seen = judged()
        patch.setattr(names_module, "_PLAIN", re.compile(r"(?!)"))
        assert judged() == seen


def add(names: NameSet, path: str) -> None:
    if path.endswith("/"):
        names.add_folder(check_name(path[:-1]))
    else:
        names.add_file(check_name(path))


@pytest.mark.parametrize(
    "paths",
    [
        ["a", "b", "a.txt", "A-"],
        ["a/", "a/b", "a/c/", "a/c/d"],
        ["a/b", "a/"],
        ["a/b/c", "a/b/", "a/", "a/b/d"],
        ["ss", "s"],
        ["é", "e"],
    ],
)
def test_names_that_differ_everywhere_live_together(paths):
    names = NameSet()
    for path in paths:
        add(names, path)
    with pytest.raises(ArchiveError):
        add(names, paths[0])


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["main.py", "main.py"], "name_duplicate"),
        (["d/", "d/"], "name_duplicate"),
        (["d/x", "d/", "d/"], "name_duplicate"),
        (["main.py", "Main.py"], "name_collision"),
        (["é.txt", "e\u0301.txt"], "name_collision"),
        (["straße", "STRASSE"], "name_collision"),
        (["ὀ\u0345", "ὈΙ"], "name_collision"),
        (["a/x", "A/y"], "name_collision"),
        (["a/x", "A/"], "name_collision"),
        (["a/b/x", "a/B"], "name_collision"),
        (["A", "a/x"], "name_collision"),
        (["\u212aelvin", "kelvin"], "name_collision"),
        (["a", "a/b"], "name_file_and_folder"),
        (["a/b", "a"], "name_file_and_folder"),
        (["a/b/c", "a/b"], "name_file_and_folder"),
        (["a/", "a"], "name_file_and_folder"),
        (["a", "a/"], "name_file_and_folder"),
    ],
)
def test_two_names_that_some_file_system_takes_for_one_are_refused(paths, code):
    names = NameSet()
    for path in paths[:-1]:
        add(names, path)
    with pytest.raises(ArchiveError) as caught:
        add(names, paths[-1])
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["．．／x", "a／．．／b", "．", "‥", "／etc", "＼srv", "a＼．．＼b"])
def test_a_step_upwards_in_wide_characters_is_refused_and_a_wide_slash_is_not(name):
    assert code_of(name) == "canonical_path_fail"
