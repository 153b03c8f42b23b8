"""The rows of deletions: ids whose row was removed while their folder may still be on disk."""

from __future__ import annotations

import apsw

from ugosa_server.jobs.store.rows import read_strings


class DeletionTable:
    """Reads and clears deletions; triggers of the database write them with every row that goes."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def ids(self) -> set[str]:
        """Return the ids of all uploads and jobs that were deleted since the last `clear`."""
        return set(read_strings(self._connection, "SELECT id FROM deletions"))

    def clear(self) -> None:
        """Remove all of them, once no folder of theirs is left."""
        self._connection.execute("DELETE FROM deletions")
