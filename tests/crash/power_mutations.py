"""Ways to break the library that no missing flush stands for, each done to the process whose calls are recorded."""

from __future__ import annotations

from capgo_client.install import builder, checked, store
from capgo_client.install.ledger import Ledger
from capgo_client.install.trees import remove_tree

__all__ = ["MUTATIONS"]


def _nothing() -> None:
    """The library as it is."""


def _rename_before_seal() -> None:
    """An install is published, and sealed where it then lies: the two lines of ``builder._build`` change places."""
    seal, publish = builder._seal, builder._publish
    waiting = []

    def sealed(stage, bundle_id, records, *, origin, files, now):
        waiting.append((bundle_id, records, origin, now))
        _, digest = builder.file_list(records)
        return builder.Seal(
            id=bundle_id, version=origin.version, checksum=origin.checksum, native_version=origin.native_version,
            sealed_at=now, file_count=len(records), total_bytes=sum(record.size for record in records),
            list_sha256=digest, sha256=origin.sha256,
        )  # fmt: skip

    def published(place, stage, bundle_id, *, files):
        publish(place, stage, bundle_id, files=files)
        bundle_id, records, origin, now = waiting.pop()
        seal(place.installs / bundle_id, bundle_id, records, origin=origin, files=files, now=now)

    builder._seal, builder._publish = sealed, published


def _state_renamed_before_flush() -> None:
    """The state file has its name before its bytes are on the platter; both are, in the end."""
    write, put = checked.write_synced, checked.put

    class Careless:
        """All calls but the flush."""

        def __init__(self, files):
            self._files = files

        def __getattr__(self, name):
            return getattr(self._files, name)

        def fsync(self, fd):
            pass

    def written(path, data, *, files):
        write(path, data, files=Careless(files))

    def put_then_flushed(source, target, *, files):
        put(source, target, files=files)
        if source.name == "state.new":
            fd = files.open_update(target)
            files.fsync(fd)
            files.close(fd)

    checked.write_synced, checked.put = written, put_then_flushed
    assert Ledger.save.__globals__["checked"] is checked


def _grave_emptied_before_flush() -> None:
    """What is thrown away is taken apart before it is known to lie in the trash."""

    def emptied(self, path, *, should_stop):
        remove_tree(path, files=self._files, should_stop=should_stop)
        self._files.sync_folder(self.installs)

    store.Store._empty = emptied


MUTATIONS = {
    "": _nothing,
    "rename before seal": _rename_before_seal,
    "state renamed before flush": _state_renamed_before_flush,
    "grave emptied before flush": _grave_emptied_before_flush,
}
