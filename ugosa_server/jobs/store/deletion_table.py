"""The rows of deletions: ids whose row was removed while their folder may still be on disk."""

from __future__ import annotations

from ugosa_server.jobs.store.rows import Table


class DeletionTable(Table):
    """Reads and clears deletions; triggers of the database write them with every row that goes."""

    def ids(self) -> set[str]:
        """Return the ids of all uploads and jobs that were deleted since the last `clear`."""
        return set(self._db.strings("SELECT id FROM deletions"))

    def clear(self) -> None:
        """Remove all of them, once no folder of theirs is left."""
        self._db.execute("DELETE FROM deletions")
