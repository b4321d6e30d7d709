"""Where runs are kept: in files, or in a database."""

from __future__ import annotations

from pathlib import Path

from counterpoint.store.runs import Store


def store_at(folder: Path, database: str | None) -> Store:
    """The store that the settings `state` and `database` name. Raises SettingsError for an address that is none."""
    if not database:
        return Store(folder)
    from counterpoint.store.server_store import ServerStore

    return ServerStore(folder, database)
