"""The queue on disk: order, bounds, damage, faults of the disk, several processes and threads."""

from __future__ import annotations

import errno
import json
import logging
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from capgo_client.seams import Files
from capgo_client.stats.lines import Content, Entry, encode, parse
from capgo_client.stats.queue import Queue
from capgo_client.testing import FaultyFiles


def event(number):
    return b'{"n":%d}' % number


def numbers(entries):
    return [json.loads(entry.text)["n"] for entry in entries]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "stats"


def queue_in(folder, files=None, **options):
    return Queue(folder, files=files or Files(), **options)


def fill(queue, *given):
    for number in given:
        queue.append([event(number)])


def held(queue):
    return numbers(queue.head(10_000))


# ---- in and out ----


def test_nothing_is_touched_before_the_first_event(folder):
    files = FaultyFiles()
    queue_in(folder, files)
    assert files.calls == []
    assert not folder.exists()


def test_an_event_is_one_write_at_the_end_without_a_flush_and_without_reading(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files)
    fill(queue, 1, 2)
    before = len(files.calls)
    fill(queue, 3)
    kinds = [call.kind for call in files.calls[before:]]
    assert kinds == ["open_update", "open_append", "fstat", "write", "close", "close"]
    assert files.open_descriptors == {}


def test_several_events_are_one_write(folder):
    files = FaultyFiles()
    queue_in(folder, files).append([event(number) for number in range(20)])
    assert files.count("write") == 1


def test_the_next_process_finds_all_in_order(folder):
    fill(queue_in(folder), 1, 2)
    fill(queue_in(folder), 3)
    assert held(queue_in(folder)) == [1, 2, 3]


def test_the_oldest_come_first_and_those_named_are_left_out(folder):
    queue = queue_in(folder)
    fill(queue, 1, 2, 3, 4)
    first = queue.head(2)
    assert numbers(first) == [1, 2]
    assert numbers(queue.head(2, but={first[0].id})) == [2, 3]


def test_what_is_done_is_gone_for_good_and_the_rest_keeps_its_order(folder):
    queue = queue_in(folder)
    fill(queue, 1, 2, 3, 4)
    entries = queue.head(4)
    queue.settle(done={entries[0].id, entries[2].id})
    assert held(queue) == held(queue_in(folder)) == [2, 4]


def test_the_file_goes_when_nothing_is_left(folder):
    queue = queue_in(folder)
    fill(queue, 1, 2)
    queue.settle(done={entry.id for entry in queue.head(2)})
    assert not (folder / "events").exists()
    assert queue.waiting == 0


def test_a_try_is_counted_across_processes(folder):
    queue = queue_in(folder)
    fill(queue, 1, 2)
    queue.settle(done=(), tried={queue.head(1)[0].id})
    assert [entry.tries for entry in queue_in(folder).head(2)] == [1, 0]


def test_what_was_written_while_a_batch_was_under_way_stays(folder):
    queue, other = queue_in(folder), queue_in(folder)
    fill(queue, 1, 2)
    batch = queue.head(2)
    fill(queue, 3)
    fill(other, 4)
    queue.settle(done={entry.id for entry in batch})
    assert held(queue) == [3, 4]


def test_clearing_forgets_everything(folder):
    queue = queue_in(folder, limit=2)
    fill(queue, 1, 2, 3)
    queue.clear()
    assert (queue.waiting, queue.dropped) == (0, 0)
    assert not (folder / "events").exists()


def test_clearing_what_was_never_there_makes_nothing(folder):
    queue_in(folder).clear()
    assert not folder.exists()


def test_removals_reach_the_platter_before_the_rename(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files)
    fill(queue, 1, 2)
    assert files.count("fsync") == 0
    queue.settle(done={queue.head(1)[0].id})
    kinds = [call.kind for call in files.calls]
    assert kinds.index("fsync") < kinds.index("rename")


# ---- bounds ----


def test_the_oldest_are_dropped_and_counted_when_there_are_too_many(folder):
    queue = queue_in(folder, limit=3)
    fill(queue, *range(10))
    assert held(queue) == [7, 8, 9]
    assert (queue.waiting, queue.dropped) == (3, 7)


def test_the_count_survives_a_restart_and_the_sending_of_the_rest(folder):
    queue = queue_in(folder, limit=3)
    fill(queue, *range(10))
    queue.settle(done={entry.id for entry in queue.head(3)})
    again = queue_in(folder, limit=3)
    assert (again.waiting, again.dropped) == (0, 7)
    fill(again, *range(4))
    assert again.dropped == 8


def test_a_full_queue_is_not_written_anew_with_every_event(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files, limit=50)
    fill(queue, *range(1000))
    assert 10 <= files.count("rename") <= 20
    assert (folder / "events").stat().st_size < 120 * len(encode([Entry(b"x" * 24, event(999))]))
    assert held(queue) == list(range(950, 1000))
    assert queue.dropped == 950


def test_the_bytes_are_bounded_too(folder):
    queue = queue_in(folder, max_bytes=2000)
    big = [b'{"n":%d,"x":"%b"}' % (number, b"x" * 300) for number in range(100)]
    for text in big:
        queue.append([text])
        assert (folder / "events").stat().st_size < 5 * 2000
    kept = held(queue)
    assert kept == list(range(100 - len(kept), 100))
    assert 3 <= len(kept) <= 6
    assert queue.dropped == 100 - len(kept)


def test_many_short_processes_do_not_let_the_file_grow_either(folder):
    for number in range(100):
        queue_in(folder, max_bytes=2000).append([b'{"n":%d,"x":"%b"}' % (number, b"x" * 300)])
    assert (folder / "events").stat().st_size < 5 * 2000


def test_an_event_larger_than_the_whole_queue_is_dropped_by_itself(folder):
    queue = queue_in(folder, max_bytes=2000)
    fill(queue, 1)
    queue.append([b'{"n":2,"x":"%b"}' % (b"x" * 3000)])
    fill(queue, 3)
    assert held(queue) == [1, 3]
    assert queue.dropped == 1


def test_a_file_that_is_absurdly_large_is_begun_anew(folder):
    queue = queue_in(folder, max_bytes=1000)
    fill(queue, 1)
    with (folder / "events").open("ab") as file:
        file.write(b"x" * 20_000)
    assert queue.waiting == 0
    fill(queue, 2)
    assert held(queue) == [2]


# ---- damage ----


def test_a_torn_end_costs_what_was_torn_and_nothing_after_it(folder):
    fill(queue_in(folder), 1, 2)
    path = folder / "events"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        queue = queue_in(folder)
        fill(queue, 3)
        found = held(queue)
        assert found[-1] == 3
        assert found[:-1] == [1, 2][: len(found) - 1]
        # At most the last of those that had begun is lost; each stands between two line breaks.
        assert len(found) >= (whole[:length].count(b"\n") + 1) // 2 - 1 + 1


@pytest.mark.parametrize("torn", [b"\0" * 300, b"x" * 20, b"\0" * 200 + b"\n" + b"x" * 99])
def test_what_a_power_cut_leaves_of_an_append_costs_no_earlier_event(folder, torn):
    fill(queue_in(folder), 1, 2)
    with (folder / "events").open("ab") as file:
        file.write(torn)
    assert held(queue_in(folder)) == [1, 2]


def test_what_was_sent_is_gone_for_good_before_the_next_is_sent(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files=files)
    fill(queue, 1, 2)
    for _ in range(2):  # once a line is left, once none is
        queue.settle(done={queue.head(1)[0].id})
        change = max(index for index, call in enumerate(files.calls) if call.kind in ("rename", "unlink"))
        after = [call for call in files.calls[change:] if call.kind == "fsync"]
        assert [call.path for call in after] == [str(folder)]


def test_each_flipped_byte_costs_its_own_line_alone(folder):
    fill(queue_in(folder), 1, 2, 3)
    path = folder / "events"
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0x04]) + whole[index + 1 :])
        hit = whole[:index].count(b"\n") // 2 + 1  # each stands between two line breaks
        assert held(queue_in(folder)) == [number for number in (1, 2, 3) if number != hit]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"00000000 a 0 {}",
        encode([Entry(b"id", b"[]")])[1:],
        encode([Entry(b"id", b"{")])[1:],
        encode([Entry(b"dropped", b"-5")])[1:],
        encode([Entry(b"dropped", b"9" * 20)])[1:],
        b"\xff" * 40,
    ],
)
def test_a_line_that_is_none_of_ours_is_skipped(line):
    good = encode([Entry(b"a", event(1))])
    content = parse(good + b"\n" + line + good.replace(b"\n", b"\n\n"))
    assert content.entries == (Entry(b"a", event(1)),)
    assert content.dropped == 0


def test_lines_come_back_as_they_were_written():
    entries = (Entry(b"a-1-1", event(1), 2), Entry(b"a-1-2", b'{"x":"\xc3\xa4 \xe2\x80\xa8 y"}'))
    assert parse(encode(entries, dropped=7)) == Content(entries, 7, 0)


# ---- the disk refuses ----


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("kind", ["open_update", "open_append", "write", "fstat", "mkdir"])
def test_what_cannot_be_written_waits_in_memory_and_goes_to_disk_later(folder, error, kind, caplog):
    files = FaultyFiles()
    queue = queue_in(folder, files)
    files.fail(1, error, kinds=[kind], times=None)
    with caplog.at_level(logging.WARNING, "capgo_client"):
        fill(queue, 1, 2)
    assert held(queue) == [1, 2]
    assert len(caplog.records) == 1
    files.heal()
    fill(queue, 3)
    assert held(queue) == held(queue_in(folder)) == [1, 2, 3]
    assert files.open_descriptors == {}


def test_what_waits_in_memory_is_bounded_and_counted(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files, limit=5)
    files.fail(1, errno.ENOSPC, kinds=["write"], times=None)
    fill(queue, *range(20))
    assert held(queue) == [15, 16, 17, 18, 19]
    assert queue.dropped == 15
    queue.settle(done={entry.id for entry in queue.head(2)})
    assert held(queue) == [17, 18, 19]


def test_what_was_given_up_in_memory_is_counted_on_disk_with_the_next_event(folder):
    files = FaultyFiles()
    queue = queue_in(folder, files, limit=5)
    files.fail(1, errno.ENOSPC, kinds=["write"], times=None)
    fill(queue, *range(8))
    files.heal()
    fill(queue, 8)
    again = queue_in(folder, limit=5)
    assert (held(again), again.dropped) == ([4, 5, 6, 7, 8], 4)
    again.settle(done={entry.id for entry in again.head(5)})
    assert queue_in(folder).dropped == 4


class ShortWrites(Files):
    """A disk that takes ten bytes more, then is full."""

    def __init__(self):
        self.left = None

    def write(self, fd, data):
        if self.left is None:
            return super().write(fd, data)
        if not self.left:
            raise OSError(errno.ENOSPC, "full")
        taken, self.left = self.left, 0
        return super().write(fd, data[:taken])


@pytest.mark.parametrize("room", [0, 5, 60, 61, 62, 63, 64, 65, 90])
def test_a_write_that_stops_half_way_neither_loses_nor_doubles(folder, room):
    files = ShortWrites()
    queue = queue_in(folder, files)
    fill(queue, 1)
    files.left = room
    queue.append([event(2), event(3), event(4)])
    assert held(queue) == [1, 2, 3, 4]
    files.left = None
    fill(queue, 5)
    assert held(queue) == held(queue_in(folder)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["open_new", "write", "fsync", "rename", "open_update", "read"])
def test_what_cannot_be_removed_is_not_sent_again_by_this_process(folder, kind):
    files = FaultyFiles()
    queue = queue_in(folder, files)
    fill(queue, 1, 2, 3)
    batch = queue.head(2)
    files.fail(1, errno.EIO, kinds=[kind], times=None)
    queue.settle(done={entry.id for entry in batch})
    files.heal()
    assert held(queue) == [3]
    fill(queue, 4)
    queue.settle(done=())
    assert held(queue_in(folder)) == [3, 4]


def test_a_leftover_of_a_removal_that_was_killed_is_in_nobodys_way(folder):
    queue = queue_in(folder)
    fill(queue, 1, 2)
    (folder / "events.new").write_bytes(b"half")
    queue.settle(done={queue.head(1)[0].id})
    assert held(queue_in(folder)) == [2]


def test_a_folder_that_is_deleted_while_we_run_is_made_again(folder):
    queue = queue_in(folder)
    fill(queue, 1)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    fill(queue, 2)
    assert held(queue) == [2]


# ---- threads and processes ----


def test_events_of_many_threads_all_arrive_while_others_are_removed(folder):
    queue = queue_in(folder, limit=10_000)
    taken, writing = [], threading.Event()

    def write(thread):
        for number in range(50):
            queue.append([event(thread * 100 + number)])

    def remove():
        while True:
            last = writing.is_set()
            batch = queue.head(20)
            taken.extend(numbers(batch))
            queue.settle(done={entry.id for entry in batch})
            if last and not batch:
                return

    writers = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    remover = threading.Thread(target=remove)
    for thread in [*writers, remover]:
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    remover.join()
    assert sorted(taken) == sorted(thread * 100 + number for thread in range(4) for number in range(50))
    for thread in range(4):
        mine = [number for number in taken if number // 100 == thread]
        assert mine == sorted(mine)


def test_one_process_sends_at_a_time(folder):
    one, two = queue_in(folder), queue_in(folder)
    with one.sending() as first:
        with two.sending() as second:
            assert (first, second) == (True, False)
        fill(two, 1)
    with two.sending() as third:
        assert third
    assert held(one) == [1]


def test_where_nothing_can_be_locked_what_lies_on_disk_is_not_sent_at_every_start(folder):
    fill(queue_in(folder), 1)
    files = FaultyFiles()
    files.fail(1, errno.EROFS, kinds=["open_update", "open_append", "open_new"], times=None)
    queue = queue_in(folder, files)
    fill(queue, 2)
    with queue.sending() as ours:
        assert ours
        assert held(queue) == [2]
        queue.settle(done={entry.id for entry in queue.head(1)})
        assert held(queue) == []
    assert held(queue) == [1]


def test_an_append_does_not_wait_long_for_another_process(folder):
    queue, other = queue_in(folder), queue_in(folder)
    fill(queue, 1)
    with other._exclusive(patience=0):
        fill(queue, 2)
        assert held(queue_in(folder)) == [1]
    assert held(queue) == [1, 2]
    fill(queue, 3)
    assert held(queue_in(folder)) == [1, 2, 3]


# ---- any sequence, against a model ----


class Model(RuleBasedStateMachine):
    """Appends, removals, full disks and kills in any order: nothing lost but what the bound drops, in order."""

    @initialize(folder=st.builds(lambda: None))
    def begin(self, folder):
        import tempfile
        from pathlib import Path

        self.root = tempfile.TemporaryDirectory()
        self.folder = Path(self.root.name) / "stats"
        self.files = FaultyFiles()
        self.queue = Queue(self.folder, files=self.files, limit=8)
        self.number = 0
        self.on_disk, self.in_memory, self.dropped = [], [], 0
        self.full = False

    def teardown(self):
        if hasattr(self, "root"):
            self.root.cleanup()

    @rule(count=st.integers(1, 4))
    def append(self, count):
        texts = [event(self.number + index) for index in range(count)]
        self.in_memory += range(self.number, self.number + count)
        self.number += count
        self.queue.append(texts)
        if not self.full:
            self.on_disk, self.in_memory = self.on_disk + self.in_memory, []
        self.bound()

    def bound(self):
        while len(self.on_disk) + len(self.in_memory) > 8:
            (self.on_disk or self.in_memory).pop(0)
            self.dropped += 1

    @rule(count=st.integers(1, 5))
    def settle(self, count):
        batch = self.queue.head(count)
        assert numbers(batch) == (self.on_disk + self.in_memory)[:count]
        self.queue.settle(done={entry.id for entry in batch})
        for number in numbers(batch):
            (self.on_disk if number in self.on_disk else self.in_memory).remove(number)

    @rule(data=st.data())
    def kill(self, data):
        """The process dies, perhaps in the middle of its last write."""
        if self.full or self.in_memory:
            return
        path = self.folder / "events"
        if path.exists() and data.draw(st.booleans()):
            with path.open("ab") as file:
                file.write(b"\n0123abcd torn {")
        self.queue = Queue(self.folder, files=self.files, limit=8)

    @rule(data=st.data())
    def fill_the_disk(self, data):
        if self.full:
            self.files.heal()
        else:
            self.files.fail(1, errno.ENOSPC, kinds=["open_append"], times=None)
        self.full = not self.full

    @invariant()
    def holds(self):
        if not hasattr(self, "queue"):
            return
        assert held(self.queue) == self.on_disk + self.in_memory
        assert self.queue.waiting == len(self.on_disk) + len(self.in_memory)
        assert self.queue.dropped == self.dropped
        assert self.files.open_descriptors == {}


TestAnySequence = Model.TestCase
TestAnySequence.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
