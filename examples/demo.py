"""The whole story in one command (``make demo``): a new version, a bad one, and a service that has a bad day.

Every launch is a real process of ``hello/start.py``; the service is a real HTTP server on loopback that behaves, and
misbehaves, as Capgo's does. Each promise is checked as it goes: the exit status is 1 when one does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from demo_stage import PROMISES, Chapter, Check, Launch, PromiseBrokenError, Stage, Step, paint

#: A start that waits for no network takes milliseconds, one that waits in vain 3 s. Between the two is much room for a
#: slow and busy machine (seconds).
AT_ONCE = 1.5
#: Promise P1: 3 s for the check, and 0.1 s for everything else that a start does.
AT_MOST = 3.1
#: An app with a check in flight has left the process by then: close() may take 0.2 s (P9), the interpreter the rest.
GONE = 1.0
#: What shells say of a command that Ctrl-C ended.
INTERRUPTED = 130

#: A real mistake, made before the app could say that it works.
BUG = 'SETTINGS = {"colour": "blue"}\nSETTINGS["color"]\n'


# ---- what can be seen to be true after a launch ----


def opens(version: str, promise: str = "P2") -> Check:
    return Check(
        promise,
        f"the app opens, and it is the code of {version} that runs",
        lambda seen, _: seen.opened == version and version in seen.said and seen.exit_code == 0,
    )


def at_once() -> Check:
    return Check(
        "P1",
        "start() waited for no network: {seen.seconds:.3f} s, and the service was asked after it",
        lambda seen, _: seen.seconds < AT_ONCE and seen.checks > 0 and not seen.asked_first,
    )


def at_most() -> Check:
    return Check(
        "P1",
        f"start() stopped waiting after 3 s: {{seen.seconds:.3f}} s (at most {AT_MOST:g})",
        lambda seen, _: 2.0 < seen.seconds <= AT_MOST,  # noqa: PLR2004 - less means that nothing was waited for
    )


def waits_no_more() -> Check:
    return Check(
        "P8",
        "one start waited in vain, so this one did not: it took {seen.seconds:.3f} s",
        lambda seen, _: seen.seconds < AT_ONCE and not seen.asked_first,
    )


def whole(version: str, promise: str = "P3") -> Check:
    return Check(
        promise,
        f"every file of {version} on disk is the publisher's, byte for byte",
        lambda seen, stage: seen.opened == version and stage.is_as_published(seen),
    )


def queued(version: str, promise: str, claim: str) -> Check:
    return Check(promise, claim, lambda seen, _: seen.explain.get("queued") == version)


def refused(promise: str, claim: str) -> Check:
    """The service was asked, offered something, and nothing was fetched or queued."""
    return Check(
        promise,
        claim,
        lambda seen, _: (
            seen.checks > 0
            and seen.explain.get("answer") == "update"
            and seen.downloads == 0
            and not seen.explain.get("queued")
        ),
    )


def falls_back_on(version: str, promise: str, claim: str) -> Check:
    return Check(promise, claim, lambda seen, _: seen.explain.get("fallback", "").startswith(f"{version} "))


def paused() -> Check:
    return Check(
        "P8",
        "nothing is downloaded, nothing is deleted, updates pause",
        lambda seen, stage: (
            seen.explain.get("answer") == "plan_ended" and seen.downloads == 0 and stage.is_as_published(seen)
        ),
    )


def unreachable() -> Check:
    return Check(
        "P8",
        "explain() says that the service could not be reached, not 'no update'",
        lambda seen, _: seen.explain.get("answer") == "failed" and seen.explain.get("answer_code") == "network_error",
    )


def left_quietly() -> Check:
    return Check(
        "P9",
        f"the check hung, and the process was gone {{seen.leaving:.2f}} s after the app ended (at most {GONE:g})",
        lambda seen, _: seen.checks > 0 and 0 < seen.leaving < GONE,
    )


# ---- the story ----

STORY = (
    Chapter(
        "1. A new version arrives",
        (
            Step("publisher", "uploads 2.0.0, encrypted and signed", lambda stage: stage.publish("2.0.0")),
            Step(
                launch=Launch(),
                checks=(
                    opens("1.0.0"),
                    at_once(),
                    queued(
                        "2.0.0", "P3", "2.0.0 arrived behind the app's back, was verified, and waits for the next start"
                    ),
                ),
            ),
            Step(
                launch=Launch(),
                checks=(
                    opens("2.0.0", "P3"),
                    at_once(),
                    whole("2.0.0"),
                    falls_back_on("2.0.0", "P5", "2.0.0 said that it works; it is now the version to fall back on"),
                ),
            ),
        ),
    ),
    Chapter(
        "2. A bad version arrives",
        (
            Step(
                "publisher",
                "uploads 3.0.0, which crashes before it can say that it works",
                lambda stage: stage.publish("3.0.0", bug=BUG),
            ),
            Step(launch=Launch(), checks=(opens("2.0.0"), queued("3.0.0", "P3", "3.0.0 is intact, so it is queued"))),
            Step(
                launch=Launch(),
                checks=(
                    Check(
                        "P5",
                        "3.0.0 opened and crashed before it was ready",
                        lambda seen, _: seen.opened == "3.0.0" and seen.exit_code != 0 and "KeyError" in seen.error,
                    ),
                    falls_back_on("2.0.0", "P5", "the version to fall back on is 2.0.0"),
                ),
            ),
            Step(
                launch=Launch(),
                checks=(
                    opens("2.0.0", "P5"),
                    refused("P5", "the service still offers 3.0.0; it is refused, and nothing is downloaded"),
                ),
            ),
        ),
    ),
    Chapter(
        "3. Somebody else takes over the service",
        (
            Step(
                "intruder",
                "offers 9.9.9, without the publisher's signature",
                lambda stage: stage.publish("9.9.9", signed=False),
            ),
            Step(
                launch=Launch(),
                checks=(
                    opens("2.0.0", "P6"),
                    refused("P6", "9.9.9 is offered; it is refused before a byte of it is fetched"),
                ),
            ),
        ),
    ),
    Chapter(
        "4. The plan ends",
        (
            Step(
                "publisher",
                "is in control again, and uploads 3.0.1, which mends 3.0.0",
                lambda stage: stage.publish("3.0.1"),
            ),
            Step("service", "refuses every check, because the plan has ended", lambda stage: stage.service.end_plan()),
            Step(launch=Launch(), checks=(opens("2.0.0", "P8"), at_once(), paused())),
        ),
    ),
    Chapter(
        "5. The plan is paid, and the app is killed while the update arrives",
        (
            Step("publisher", "pays for the plan", lambda stage: stage.service.restore_plan()),
            Step(
                "network",
                "slows down to a hundred bytes a second",
                lambda stage: stage.fault("slow-download", on="download", bytes_per_second=100.0),
            ),
            Step(
                launch=Launch(kill_on="download"),
                checks=(
                    Check(
                        "P8",
                        "updates resume by themselves: the download of 3.0.1 had begun",
                        lambda seen, _: seen.opened == "2.0.0" and seen.downloads == 1,
                    ),
                ),
            ),
        ),
    ),
    Chapter(
        "6. The service takes requests and hardly answers",
        (
            Step("app", "from here on start() waits for the update check (mode 'always')"),
            Step("service", "goes silent", lambda stage: stage.fault("silence")),
            Step(
                launch=Launch(mode="always", stay=0.0),
                checks=(opens("2.0.0", "P4"), whole("2.0.0", "P4"), at_most()),
            ),
            Step("service", "sends its answers one byte a second", lambda stage: stage.fault("drip-body")),
            Step(
                launch=Launch(mode="always", stay=0.5),
                checks=(opens("2.0.0", "P8"), waits_no_more(), left_quietly()),
            ),
        ),
    ),
    Chapter(
        "7. The service is gone",
        (
            Step("service", "refuses connections", lambda stage: stage.service.stop()),
            Step(launch=Launch(mode="always"), checks=(opens("2.0.0", "P2"), waits_no_more(), unreachable())),
        ),
    ),
    Chapter(
        "8. The service is back",
        (
            Step("service", "answers again, and well", lambda stage: stage.recover()),
            Step(
                launch=Launch(mode="always"),
                checks=(
                    opens("2.0.0", "P8"),
                    waits_no_more(),
                    queued("3.0.1", "P8", "updates resume by themselves: 3.0.1 arrived and waits for the next start"),
                ),
            ),
            Step(
                launch=Launch(mode="always"),
                checks=(
                    opens("3.0.1", "P3"),
                    whole("3.0.1"),
                    falls_back_on("3.0.1", "P5", "3.0.1 said that it works; it is now the version to fall back on"),
                ),
            ),
        ),
    ),
)


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    try:
        with Stage.set_up() as stage:
            introduce(stage)
            for chapter in STORY:
                stage.play(chapter)
            conclude(stage)
        sys.stdout.flush()
    except PromiseBrokenError as exc:
        print(f"\n{paint('PROMISE BROKEN', '1;31')}  {exc}", flush=True)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read this has left, as head does; nothing is said about it at the exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def introduce(stage: Stage) -> None:
    print(
        "An app, a device, and an update service that has a bad day.\n\n"
        "The app is examples/hello; the version inside its installer is 1.0.0. Every line of the app below is a real\n"
        "process of examples/hello/start.py. The service is a real HTTP server on this machine, which behaves and\n"
        f"misbehaves as Capgo's does ({stage.service.url}). Nothing leaves this machine.\n\n"
        "For each launch: which version opened, how long start() took, why it was this version, and what came of the\n"
        "update check (why and check as updater.explain() tells them); then which promises were put to the test.\n\n"
        "elapsed  who        version   start() what happens"
    )


def conclude(stage: Stage) -> None:
    print(f"\n{paint('Every promise was kept', '1;32')} ({time.monotonic() - stage.began:.1f} s):")
    for number, times in sorted(stage.kept.items()):
        print(f"  {number}  {PROMISES[number]:<44} checked {times} time{'s' if times > 1 else ''}")


if __name__ == "__main__":
    sys.exit(main())
