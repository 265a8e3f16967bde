from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.protocol.versions import MAX_LENGTH, compare, explain_invalid, parse

VALID = [
    "0.0.0",
    "1.4.0",
    "10.20.30",
    "1.1.2-prerelease+meta",
    "1.1.2+meta",
    "1.1.2+meta-valid",
    "1.0.0-alpha",
    "1.0.0-alpha.beta.1",
    "1.0.0-alpha0.valid",
    "1.0.0-0A.is.legal",
    "1.0.0-rc.1+build.1",
    "1.2.3----RC-SNAPSHOT.12.9.1--.12",
    "1.2.3----R-S.12.9.1--.12+meta",
    "1.0.0+0.build.1-rc.10000aaa-kk-0.1",
    "2.0.0+build.001",
    "9007199254740991.0.0",
    "1.0.0-99999999999999999999",
]
INVALID = [
    "",
    " ",
    "1",
    "1.2",
    "1.2.3.4",
    "v1.2.3",
    "1.2.3 ",
    " 1.2.3",
    "1.2.3\n",
    "01.2.3",
    "1.02.3",
    "1.2.03",
    "1.2.3-01",
    "1.2.3-",
    "1.2.3+",
    "1.2.3-+",
    "1.2.3-+b",
    "1.2.3-a..b",
    "1.2.3+a..b",
    "1.2.3+a+b",
    "1.2.3-a_b",
    "1.2.3+a_b",
    "1.2.3-é",
    "1.4.0rc1",
    "1.0.post1",
    "-1.2.3",
    "1.-2.3",
    "1.2.x",
    "1..3",
    "1.2.\u0663",
    "\uff11.2.3",
    "1.2.3\0",
    "9007199254740992.0.0",
    "builtin",
    "abc",
    "1.2.3-" + "a" * MAX_LENGTH,
]

# Semver section 11: each is older than the next.
ORDER = [
    "0.0.9",
    "0.9.0-999.a",
    "0.9.0",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-10.0",
    "1.0.0-A",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0-rc.1",
    "1.10.0",
    "2.0.0",
    "10.0.0",
]


@pytest.mark.parametrize("text", VALID)
def test_a_semantic_version_is_read_and_spelled_back(text: str) -> None:
    version = parse(text)

    assert version is not None
    assert str(version) == text
    assert explain_invalid(text) == ""


@pytest.mark.parametrize("text", INVALID)
def test_what_is_not_a_semantic_version_is_not_read(text: str) -> None:
    assert parse(text) is None
    assert compare(text, "1.0.0") is None
    assert compare("1.0.0", text) is None
    assert explain_invalid(text) != ""


def test_the_parts_of_a_version_can_be_told() -> None:
    version = parse("1.2.3-rc.1+linux.7")

    assert version is not None
    assert (version.major, version.minor, version.patch) == (1, 2, 3)
    assert (version.prerelease, version.build) == ("rc.1", "linux.7")


def test_precedence_is_that_of_semver_section_11() -> None:
    for older, newer in combinations(ORDER, 2):
        assert compare(older, newer) == -1, (older, newer)
        assert compare(newer, older) == 1, (older, newer)


def test_versions_can_be_sorted() -> None:
    assert [str(version) for version in sorted(filter(None, map(parse, reversed(ORDER))))] == ORDER


@pytest.mark.parametrize(("a", "b"), [("1.0.0+a", "1.0.0+b"), ("1.0.0", "1.0.0+b"), ("1.0.0-rc.1+a", "1.0.0-rc.1")])
def test_build_metadata_plays_no_part(a: str, b: str) -> None:
    assert compare(a, b) == 0
    assert parse(a) == parse(b)
    assert hash(parse(a)) == hash(parse(b))


VERSIONS = st.from_regex(
    r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})"
    r"(-(0|[1-9][0-9]{0,3}|[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,3})(\.(0|[1-9][0-9]{0,3}|[a-zA-Z-]{1,3})){0,2})?"
    r"(\+[0-9a-zA-Z-]{1,4})?",
    fullmatch=True,
)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total_and_consistent(a: str, b: str, c: str) -> None:
    ab, bc, ac = compare(a, b), compare(b, c), compare(a, c)
    assert ab is not None
    assert bc is not None
    assert compare(b, a) == -ab
    assert (parse(a) == parse(b)) == (ab == 0)
    if ab <= 0 and bc <= 0:
        assert ac is not None
        assert ac <= 0


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("1.4.0rc1", "1.4.0-rc.1"),
        ("1.4.0RC1", "1.4.0-rc.1"),
        ("1.4.0c2", "1.4.0-rc.2"),
        ("1.4.0a1", "1.4.0-alpha.1"),
        ("1.4.0b2", "1.4.0-beta.2"),
        ("1.4.0.beta2", "1.4.0-beta.2"),
        ("1.4rc1", "1.4.0-rc.1"),
        ("1.4.0.dev3", "1.4.0-dev.3"),
        ("1.4.0rc01", "1.4.0-rc.1"),
        ("1.4.0a", "1.4.0-alpha.0"),
        ("1.0.post1", "1.0.1"),
        ("1.0.3.post2", "1.0.4"),
        ("1.2.3.4", "1.2.3"),
        ("1.4", "1.4.0"),
        ("2", "2.0.0"),
        ("v1.4.0", "1.4.0"),
        ("V1.4", "1.4.0"),
        ("v1.4.0-rc.1", "1.4.0-rc.1"),
        ("v1.2.3----RC-SNAPSHOT.12.9.1--.12", "1.2.3----RC-SNAPSHOT.12.9.1--.12"),
        (" 1.4.0\n", "1.4.0"),
        ("2024.01.05", "2024.1.5"),
        ("1.4+linux", "1.4.0+linux"),
    ],
)
def test_the_advice_names_the_version_to_write(text: str, advice: str) -> None:
    assert f'write "{advice}"' in explain_invalid(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.4.0rc1", "hyphen"),
        ("1.0.post1", "no post-releases"),
        ("1.2.3.4", '"1.2.3+4"'),
        ("1.4", "three numbers"),
        ("", "empty"),
        ("   ", "empty"),
        ("1" * 300, "256 characters"),
        ("latest", "three numbers"),
        ("1.2.3-01", "three numbers"),
        ("9007199254740992.0.0", "three numbers"),
    ],
)
def test_the_advice_says_why(text: str, reason: str) -> None:
    assert reason in explain_invalid(text)


@given(
    st.text(max_size=30) | st.from_regex(r"[vV ]?[0-9.]{1,9}[-.+_a-c]?(rc|post|dev|b)?[0-9.+-]{0,5}", fullmatch=True)
)
def test_advice_never_fails_and_names_only_valid_versions(text: str) -> None:
    advice = explain_invalid(text)

    assert (advice == "") == (parse(text) is not None)
    assert all(parse(named) for named in re.findall(r'"([^"]*)"', advice)), advice


def test_the_example_versions_are_listed_in_rising_order() -> None:
    assert all(compare(a, b) == -1 for a, b in pairwise(ORDER))
