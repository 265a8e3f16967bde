"""Documents on this device's own disk, after whatever may have happened to them."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

from fuzzing import VALUES, bodies, documents, edited, fuzz
from hypothesis import strategies as st

from capgo_client.bundle import BundleStatus
from capgo_client.fetch.partial import Note, Partial, PartialKey
from capgo_client.install import checked
from capgo_client.install.ledger import Ledger
from capgo_client.install.record import FileRecord
from capgo_client.install.seal import FILES_NAME, SEAL_NAME, Seal, SealError, file_list, read_list, read_seal
from capgo_client.life.delays import DelayCondition
from capgo_client.life.document import DocumentError, from_document, to_document
from capgo_client.life.newer import from_newer
from capgo_client.life.settings import Settings
from capgo_client.life.state import Install, Launch, State, Verdict
from capgo_client.seams import Files
from capgo_client.stats import lines

INSTALL = Install(id="Ab1", version="1.5.0", checksum="a" * 64, installed_at=5.0, status=BundleStatus.SUCCESS)
STATE = to_document(
    State(
        native_version="1.4.0",
        current="Ab1",
        fallback="Ab1",
        installs=(INSTALL,),
        verdicts=(Verdict("1.6.0", "b" * 64, hard=True, at=7.0),),
        launch=Launch("t", "Ab1"),
        failed=INSTALL,
        settings=Settings(delays=(DelayCondition("background", "5000"),)),
    )
)
RECORDS = (FileRecord("a.txt", 3, "c" * 64), FileRecord("main.py", 9, "d" * 64))
LISTING, LIST_DIGEST = file_list(RECORDS)
SEAL = asdict(Seal("Ab1", "1.5.0", "a" * 64, "1.4.0", 5.0, 2, 12, LIST_DIGEST, "", "", "e" * 64))


def summed(text):
    """The bytes of a document whose check sum holds whatever is in it."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


IDS = st.sampled_from(["../x", "a/b", "", ".", "\u00e9", "\u0663", "a b", "C:", "Ab1"]) | st.text(max_size=4)


@st.composite
def states(draw):
    """State documents in which any member at any depth may be anything."""
    top = draw(documents(STATE))
    for name in ("settings", "schedule", "launch", "failed"):
        if isinstance(top.get(name), dict) and top[name] and draw(st.booleans()):
            top = {**top, name: draw(documents(top[name]))}
    if top.get("installs") == STATE["installs"] and draw(st.booleans()):
        top = {**top, "installs": draw(st.lists(documents(STATE["installs"][0]), max_size=3))}
    if top.get("installs") == STATE["installs"] and draw(st.booleans()):
        top = {**top, "installs": [{**STATE["installs"][0], "id": draw(IDS)}]}
    if top.get("verdicts") == STATE["verdicts"] and draw(st.booleans()):
        top = {**top, "verdicts": draw(st.lists(documents(STATE["verdicts"][0]), max_size=3))}
    return top


def is_of_its_kinds(state):
    """What a state that was read must be, so that nothing later stumbles over it."""
    texts = (state.native_version, state.current, state.next, state.fallback, state.previous, state.newest_confirmed)
    assert all(isinstance(text, str) for text in texts)
    for install in (*state.installs, *([state.failed] if state.failed else [])):
        assert install.id.isascii()
        assert install.id.isalnum()
        assert isinstance(install.status, BundleStatus)
        assert type(install.attempts) is int
        assert install.attempts >= 0
        assert isinstance(install.installed_at, float)
        assert all(isinstance(text, str) for text in (install.version, install.checksum, install.sha256))
    assert all(isinstance(verdict.hard, bool) and isinstance(verdict.at, float) for verdict in state.verdicts)


@fuzz(quick=40, document=st.one_of(states(), VALUES))
def test_a_state_document_is_refused_or_comes_back_as_it_was(document):
    try:
        document = json.loads(json.dumps(document))
        state = from_document(document)
    except DocumentError as exc:
        assert len(str(exc)) < 300
        return
    is_of_its_kinds(state)
    text = checked.pack(to_document(state))
    assert from_document(checked.unpack(text)) == state


TEXTS = st.one_of(
    states().map(lambda document: json.dumps(document).encode()),
    bodies(STATE),
    st.binary(max_size=60),
)
STORED = st.one_of(TEXTS.map(summed), edited(TEXTS.map(summed)), st.binary(max_size=40))


@fuzz(quick=20, newest=STORED, older=STORED, schema=st.booleans())
def test_the_ledger_opens_on_any_bytes(newest, older, schema):
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        if schema:
            newest = summed(json.dumps({**STATE, "schema": 7, "more": 1}).encode())
        (folder / "state.json").write_bytes(newest)
        (folder / "state.old").write_bytes(older)
        ledger = Ledger(
            folder,
            files=Files(),
            fresh=lambda: State(native_version="1.4.0"),
            rebuild=lambda: None,
            newer=lambda document: from_newer(document, native_version="1.4.0"),
        )
        is_of_its_kinds(ledger.load().state)
    finally:
        shutil.rmtree(folder)


SEALS = st.one_of(documents(SEAL).map(lambda seal: {"schema": 1, **seal}), VALUES).map(lambda v: json.dumps(v).encode())


@fuzz(quick=25, seal=st.one_of(SEALS.map(summed), edited(SEALS.map(summed))), sound=st.booleans(), listing=VALUES)
def test_a_sealed_record_is_refused_or_of_its_kinds(seal, sound, listing):
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    folder = root / "Ab1"
    try:
        folder.mkdir()
        (folder / SEAL_NAME).write_bytes(seal)
        try:
            read = read_seal(folder, files=Files())
        except SealError:
            read = Seal(**SEAL)
        assert read.id == "Ab1"
        assert all(isinstance(text, str) for text in (read.version, read.checksum, read.list_sha256, read.link))
        assert all(type(number) is int for number in (read.file_count, read.total_bytes))
        (folder / FILES_NAME).write_bytes(LISTING if sound else json.dumps(listing).encode())
        try:
            assert read_list(folder, read, files=Files()) == RECORDS
        except SealError:
            assert not sound or read.list_sha256 != LIST_DIGEST
    finally:
        shutil.rmtree(root)


ROWS = st.one_of(VALUES, st.lists(st.lists(VALUES, max_size=4), max_size=4), st.just([["../x", 1, "a"], [1, 2, 3]]))


@fuzz(
    quick=25,
    rows=ROWS,
    corpus=[
        {"rows": b"[" * 100_000},  # RecursionError came out (November 2026)
        {"rows": [["main.py", "9", None]]},  # a record of other kinds came out
    ],
)
def test_a_list_of_files_whose_sum_holds_is_refused_or_of_its_kinds(rows):
    """Who can write here can write a new sum as well; still nothing may come out that later stumbles."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        data = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        (folder / FILES_NAME).write_bytes(data)
        seal = Seal(**{**SEAL, "list_sha256": hashlib.sha256(data).hexdigest()})
        try:
            records = read_list(folder, seal, files=Files())
        except SealError:
            return
        for record in records:
            assert isinstance(record.path, str)
            assert type(record.size) is int
            assert isinstance(record.sha256, str)
    finally:
        shutil.rmtree(folder)


KEY = PartialKey(version="1.5.0", checksum="a" * 64, session_key="")
NOTE = asdict(Note.of("https://f.example.com/a.zip?x=1", KEY))


@fuzz(quick=25, text=bodies(NOTE))
def test_the_note_of_a_download_is_none_or_of_its_kinds(text):
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        (folder / f"{KEY.name}.json").write_bytes(text)
        note = Partial(folder, KEY, files=Files()).read_note()
        if note is not None:
            assert all(isinstance(each, str) for each in (note.path, note.checksum, note.session, note.etag))
            assert note.total is None or (type(note.total) is int and note.total >= 0)
            assert note.continues(note) in (True, False)
    finally:
        shutil.rmtree(folder)


EVENTS = st.builds(
    lines.Entry,
    id=st.sampled_from([b"a1", b"b2", b"c3"]),
    text=st.sampled_from([b'{"action":"get"}', b"{}", b'{"a":[1,2]}']),
    tries=st.integers(0, 99),
)
QUEUES = st.builds(
    lambda entries, dropped: lines.encode(entries, dropped=dropped, by=b"x"),
    st.lists(EVENTS, max_size=4),
    st.integers(0, 9),
)


@fuzz(quick=25, data=edited(QUEUES) | st.binary(max_size=50))
def test_the_queue_of_statistics_gives_whole_events_once_each(data):
    content = lines.parse(data)
    assert len({entry.id for entry in content.entries}) == len(content.entries)
    assert all(isinstance(json.loads(entry.text), dict) for entry in content.entries)
    assert all(entry.tries >= 0 for entry in content.entries)
    again = lines.parse(lines.encode(content.entries, dropped=content.dropped, by=b"x"))
    assert (again.entries, again.dropped, again.damaged) == (content.entries, content.dropped, 0)
