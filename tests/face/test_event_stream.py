"""Events for asyncio apps, and for those who listen late."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading

import pytest

from capgo_client import ConfigError, Event
from capgo_client.event_stream import EventStream
from capgo_client.events import Emitter


def test_an_asyncio_app_reads_the_events_of_an_update(app):
    app.publish("1.5.0")
    updater = app.updater()

    async def main():
        names = []
        async with updater.events("download", "download_complete", "set_next") as stream:
            await asyncio.get_running_loop().run_in_executor(None, updater.start)
            updater.notify_app_ready()
            async for event in stream:
                names.append((event.name, event.percent))
                if event.name == "set_next":
                    return names
        return names

    names = asyncio.run(asyncio.wait_for(main(), 20))
    percents = [percent for name, percent in names if name == "download"]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert [name for name, _ in names if name != "download"] == ["download_complete", "set_next"]


def test_without_names_every_event_is_read(app):
    updater = app.launch(update_url="")

    async def main():
        stream = aiter_of(updater.events())
        updater.set_next("builtin")
        seen = []
        while "set_next" not in seen:
            seen.append((await stream.__anext__()).name)
        await stream.aclose()
        return seen

    assert "set_next" in asyncio.run(asyncio.wait_for(main(), 10))


def aiter_of(stream):
    return stream.__aiter__()


def test_the_stream_ends_when_the_updater_closes(app):
    updater = app.launch(update_url="")

    async def main():
        threading.Timer(0.05, updater.close).start()
        return [event.name async for event in updater.events("download")]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == []


def test_a_stream_that_is_closed_gives_what_it_has_and_then_ends():
    emitter = Emitter(lambda deliver: deliver())

    async def main():
        from capgo_client import EventStream

        stream = EventStream(emitter, ("set_next",))
        async with stream:
            emitter.emit(Event("set_next", version="1"))
            emitter.emit(Event("set_next", version="2"))
        emitter.emit(Event("set_next", version="3"))
        return [event.version async for event in stream]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == ["1", "2"]


def test_an_event_after_the_loop_is_gone_harms_nobody():
    emitter = Emitter(lambda deliver: deliver())

    async def main():
        from capgo_client import EventStream

        return EventStream(emitter, ("set_next",)).__aiter__()

    stream = asyncio.run(main())
    emitter.emit(Event("set_next"))
    assert stream is not None
    emitter.close()


def test_an_unknown_event_is_a_config_error(app):
    with pytest.raises(ConfigError) as caught:
        app.updater().events("download", "updated")
    assert "'updated'" in str(caught.value)


# --- late listeners -------------------------------------------------------------------------------------------------


def test_what_nobody_heard_is_told_to_the_first_who_listens_late(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    heard = queue.SimpleQueue()
    updater.on("set", heard.put)
    assert heard.get(timeout=5).bundle.version == "1.5.0"
    second = queue.SimpleQueue()
    updater.on("set", second.put)
    updater.on("set_next", second.put)
    updater.set_next("builtin")
    assert second.get(timeout=5).name == "set_next"  # consumed: nobody hears it twice


def test_of_each_name_the_last_is_kept():
    emitter = Emitter(lambda deliver: deliver())
    for version in ("1", "2"):
        emitter.emit(Event("set", version=version))
        emitter.emit(Event("update_available", version=version))
        emitter.emit(Event("set_next", version=version))
    seen = []
    for name in ("set", "set_next", "update_available", "app_ready"):
        emitter.subscribe(name, lambda event: seen.append((event.name, event.version)))
    assert seen == [("set", "2"), ("update_available", "2")]


def test_removing_all_listeners_forgets_what_was_kept():
    emitter = Emitter(lambda deliver: deliver())
    seen = []
    emitter.subscribe("set_next", seen.append)
    emitter.emit(Event("set"))
    emitter.unsubscribe_all()
    emitter.emit(Event("set_next"))
    emitter.subscribe("set", seen.append)
    assert seen == []


def test_app_ready_waits_for_a_version_that_has_yet_to_prove_itself(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    heard = queue.SimpleQueue()
    updater.on("app_ready", heard.put)
    assert updater.wait(10)
    assert heard.empty()
    updater.notify_app_ready()
    event = heard.get(timeout=5)
    assert (event.bundle.version, event.bundle.status.value, event.status) == ("1.5.0", "success", "disabled")


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("no_new_version_available", "this is the newest version for this device"),
        ("on_premise_app", "the service does not serve this app at the moment (plan, quota, or its own database)"),
    ],
)
def test_app_ready_tells_what_the_cycle_came_to(app, case, status):
    app.service.reply_case(case)
    updater = app.launch()
    heard = queue.SimpleQueue()
    updater.on("app_ready", heard.put)
    assert updater.wait(10)
    assert heard.get(timeout=5).status == status


@pytest.mark.parametrize("version", ["2.0.0", ""])
def test_a_breaking_version_is_told_as_such(app, version):
    app.service.answer(
        200,
        {
            "error": "disable_auto_update_to_major",
            "message": "no",
            "kind": "blocked",
            "major": True,
            "version": version,
        },
    )
    updater = app.updater()
    seen = []
    for name in ("breaking_available", "major_available", "update_check_result"):
        updater.on(name, seen.append)
    done = threading.Event()
    updater.on("app_ready", lambda _: done.set())
    updater.start()
    updater.notify_app_ready()
    assert done.wait(10)
    told = version or "1.4.0"  # the version that runs, where the service names none
    assert [(e.name, e.version) for e in seen[:2]] == [("breaking_available", told), ("major_available", told)]
    assert (seen[2].kind, seen[2].error, seen[2].status_code) == ("blocked", "disable_auto_update_to_major", 200)
    assert seen[2].version == version


# ---- readers that leave ----


def left_behind(emitter):
    """What the emitter still holds of readers."""
    gc.collect()
    return [callback for callbacks in emitter._callbacks.values() for callback in callbacks] + emitter._at_close


async def first_of(emitter, *names):
    async for event in EventStream(emitter, names):
        return event
    return None


@pytest.mark.parametrize("how", ["returns", "is cancelled"])
def test_a_reader_that_left_listens_no_more_and_keeps_nothing_from_those_who_come_later(how):
    emitter = Emitter(lambda deliver: deliver())

    async def main():
        reader = asyncio.ensure_future(first_of(emitter, "update_available", "set_next"))
        await asyncio.sleep(0)
        if how == "returns":
            emitter.emit(Event("set_next"))
        else:
            reader.cancel()
        await asyncio.wait([reader])

    asyncio.run(main())

    assert left_behind(emitter) == []
    emitter.emit(Event("update_available", version="1.5.0"))
    late = []
    emitter.subscribe("update_available", late.append)
    assert [event.version for event in late] == ["1.5.0"]


def test_a_reader_that_closed_its_stream_leaves_nothing_behind():
    emitter = Emitter()

    async def main():
        async with EventStream(emitter, ("set",)):
            assert len(left_behind(emitter)) == 2

    asyncio.run(main())

    assert left_behind(emitter) == []


def test_a_reader_whose_task_nobody_holds_goes_on_to_read():
    emitter = Emitter(lambda deliver: deliver())

    async def read(told):
        await told.put(await first_of(emitter, "set"))

    async def main():
        told = asyncio.Queue()
        asyncio.ensure_future(read(told))  # noqa: RUF006 - that is what is tried
        await asyncio.sleep(0)
        gc.collect()
        emitter.emit(Event("set", version="1.5.0"))
        return await asyncio.wait_for(told.get(), 10)

    assert asyncio.run(main()).version == "1.5.0"


def test_removing_all_listeners_ends_the_readers_too(app):
    updater = app.launch(update_url="")

    async def main():
        reader = asyncio.ensure_future(first_of(updater._engine.emitter, "set_next"))
        await asyncio.sleep(0)
        updater.remove_all_listeners()
        return await reader

    assert asyncio.run(asyncio.wait_for(main(), 10)) is None
