"""A process that writes a snapshot into a store and says how far it is; tests kill it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from snapshots import manifest_of
from vmoodle.store.add import walk_filedir
from vmoodle.store.store import open_store


def main(url: str, filedir: str, identity: str) -> None:
    store = open_store(url)
    with store.writing():
        print("writing", flush=True)
        added = store.add_files(
            "filedir",
            walk_filedir(Path(filedir)),
            on_progress=lambda done, _size: print(done, flush=True),
        )
        store.write_manifest(manifest_of(identity, added.part))
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
