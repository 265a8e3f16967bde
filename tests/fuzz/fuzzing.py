"""How every fuzzer runs: a fixed number of fixed examples, or for ``FUZZ_SECONDS`` each with fresh ones.

A finding of the past stays as an example of its fuzzer, with what went wrong beside it; that is the whole corpus.
"""

from __future__ import annotations

import json
import os
import time

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

#: What one example may take of the processor (seconds): a hundred times what any takes.
SLOWEST = 2.0
_ROUND = 200


def fuzz(*, quick, corpus=(), **strategies):
    """Make a test of ``check``, which asserts something of any input; ``corpus`` are inputs that are always tried."""

    def decorate(check):
        def timed(**given):
            began = time.thread_time()
            check(**given)
            assert time.thread_time() - began < SLOWEST

        def run(**how):
            # Hypothesis keeps its state on the function it is given, so each round needs one of its own.
            def one(**given):
                timed(**given)

            one.__name__ = one.__qualname__ = check.__name__
            test = hypothesis.given(**strategies)(one)
            for known in corpus:
                test = hypothesis.example(**known)(test)
            seed = how.pop("seed", None)
            if seed is not None:
                test = hypothesis.seed(seed)(test)
            phases = (Phase.explicit, Phase.generate, Phase.target, Phase.shrink)
            hypothesis.settings(
                deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck), **how
            )(test)()

        def test():
            seconds = float(os.environ.get("FUZZ_SECONDS", "0"))
            if not seconds:
                run(max_examples=quick, derandomize=True)
                return
            end, rounds = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                rounds += 1
                run(max_examples=_ROUND, seed=int.from_bytes(os.urandom(8), "big"))
            print(f"{check.__name__}: {rounds * _ROUND} examples")

        test.__name__ = test.__qualname__ = check.__name__
        test.__module__ = check.__module__
        test.__doc__ = check.__doc__
        return test

    return decorate


# ---- bytes ----


_EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "put", "copy"]), st.floats(0, 1, exclude_max=True), st.binary(max_size=8)),
    max_size=4,
)


def _edited(data, edits):
    for kind, where, what in edits:
        place = int(where * len(data))
        if kind == "set":
            data = data[:place] + what + data[place + len(what) :]
        elif kind == "cut":
            data = data[:place] + data[place + len(what) + 1 :]
        elif kind == "put":
            data = data[:place] + what + data[place:]
        else:
            data = data[:place] + data[max(0, place - 30) :]
    return data


def edited(strategy):
    """The same bytes with some of them changed, or not."""
    return st.one_of(strategy, st.builds(_edited, strategy, _EDITS))


def edited_text(strategy):
    """The same for text; what is no UTF-8 any more is replaced."""
    return edited(strategy.map(str.encode)).map(lambda data: data.decode("utf-8", "replace"))


# ---- JSON ----

_ODD = st.sampled_from(
    [
        "",
        "null",
        "\0",
        "\ud800",
        "\u202e",
        "e\u0301",
        "../x",
        "1.2.3",
        "-1",
        "ok",
        "error",
        "x" * 5000,
        "0" * 64,
        "f" * 512,
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**400, -1, 0, 2**53, 1e308, -0.0]),
    st.floats(),
    st.text(max_size=20),
    _ODD,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8) | _ODD, inner, max_size=4)
    ),
    max_leaves=8,
)
_DEEP = st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"[" * 900 + b"]" * 900, b"\xff\xfe[\0]\0", b"1" * 10_000])


def documents(template):
    """JSON objects like ``template`` in which some members are missing, others new, others of any value."""
    keys = sorted(template)
    # Mostly one thing alone is wrong: with two the first check hides what the second one lets through.
    names = st.sampled_from([*keys, "unknown"])
    changes = st.sampled_from([0, 1, 1, 1, 4]).flatmap(lambda most: st.dictionaries(names, VALUES, max_size=most))
    without = st.sampled_from([0, 0, 0, 1, 2]).flatmap(lambda most: st.sets(st.sampled_from(keys), max_size=most))

    def build(changed, dropped):
        return {key: value for key, value in {**template, **changed}.items() if key not in dropped}

    return st.builds(build, changes, without)


def bodies(*templates):
    """What a stranger may send where JSON like one of these is expected."""
    good = st.one_of([documents(each) if isinstance(each, dict) else st.just(each) for each in templates])
    values = st.one_of(good, good, VALUES)
    texts = values.map(lambda value: json.dumps(value).encode())
    return st.one_of(texts, edited(texts), _DEEP)


HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "Retry-After", "x-ratelimit-reset", "content-type", "date"]),
    st.one_of(
        st.text(max_size=30),
        st.integers(-5, 10**20).map(str),
        st.sampled_from(
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "1e400", "٣", "1" * 400, "-0", "3.5"]
        ),
    ),
    max_size=3,
)
STATUSES = st.one_of(st.sampled_from([200, 201, 204, 400, 404, 413, 422, 429, 500, 503]), st.integers(-1, 1000))
