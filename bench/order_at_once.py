"""One caller that is there already, past its imports: it orders sites and waits for all of them.

`bench.lifecycle` runs it as a program, with the sites' names as its words.
"""

from __future__ import annotations

import sys
import time


def order(names: list[str]) -> float:
    """Deploy sites from the template `base`; return the seconds until all are proved."""
    from vmoodle.installation import open_installation

    installation = open_installation()
    from vmoodle.lifecycle.create import deploy
    from vmoodle.lifecycle.create.request import SiteRequest
    from vmoodle.registry import operations

    start = time.perf_counter()
    ordered = [
        deploy.submit(
            installation, SiteRequest(name, f"http://{name}.example.test"), "template:base"
        )
        for name in names
    ]
    while not all(operations.is_finished(one.id) for one in ordered):
        time.sleep(0.02)
    taken = time.perf_counter() - start
    if any(operations.find(one.id).state != "done" for one in ordered):
        sys.exit("a deployment failed")
    return taken


if __name__ == "__main__":
    print(order(sys.argv[1:]))
