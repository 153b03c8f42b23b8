"""A file layer for SQLite that knows what a power failure would leave, and can fail on demand."""

import os
import random

import apsw


class LossyVfs(apsw.VFS):
    """Passes everything to the system, records writes and syncs, and raises at the `fail_at`-th of them."""

    def __init__(self, name="lossy", fail_at=None):
        super().__init__(name, "")
        self.name = name
        self.operations = []
        self.fail_at = fail_at

    def record(self, *operation):
        if self.fail_at is not None and len(self.operations) >= self.fail_at:
            self.fail_at = None  # one fault; the disk works again afterwards
            raise apsw.IOError(f"injected fault at {operation[:2]}")
        self.operations.append(operation)

    def xOpen(self, name, flags):  # noqa: N802
        return _File(self, name, flags)

    def xDelete(self, filename, syncdir):  # noqa: N802
        self.record("delete", os.path.basename(filename))
        super().xDelete(filename, syncdir)

    def left_by_power_failure(self, after_operations, seed):
        """Files as they may stand when the power fails: all that was synced, and chance takes the rest.

        What was written after a file's last sync is dropped, kept, or torn in any order.
        """
        operations = self.operations[:after_operations]
        chance = random.Random(seed)
        files = {}
        for number, (kind, name, *rest) in enumerate(operations):
            synced = any(later[:2] == ("sync", name) for later in operations[number + 1 :])
            if kind == "write" and (synced or chance.random() < 0.5):
                data, offset = rest
                content = files.setdefault(name, bytearray())
                if not synced:
                    data = data[: chance.randrange(len(data) + 1)]
                content.extend(bytes(max(0, offset + len(data) - len(content))))
                content[offset : offset + len(data)] = data
            elif kind == "truncate" and (synced or chance.random() < 0.5):
                files[name] = files.get(name, bytearray())[: rest[0]]
            elif kind == "delete":
                files.pop(name, None)
        return files


class _File(apsw.VFSFile):
    def __init__(self, vfs, name, flags):
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._vfs = vfs
        self._name = os.path.basename(filename or "temporary")
        super().__init__("", name, flags)

    def xWrite(self, data, offset):  # noqa: N802
        self._vfs.record("write", self._name, bytes(data), offset)
        super().xWrite(data, offset)

    def xTruncate(self, size):  # noqa: N802
        self._vfs.record("truncate", self._name, size)
        super().xTruncate(size)

    def xSync(self, flags):  # noqa: N802
        self._vfs.record("sync", self._name)
        super().xSync(flags)
