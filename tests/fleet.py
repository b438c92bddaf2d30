"""A fleet as an administrator makes it: through the `vmoodle` program, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import program

PROGRAM = Path(sys.executable).parent / "vmoodle"
LIMIT_SECONDS = 900


@dataclass
class Fleet:
    """One home and the `vmoodle` program on it."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    forked: bool = True  # from a process that has imported what the program needs
    limit: float = LIMIT_SECONDS

    def run(
        self, *words: str, status: int | None = 0, stdin: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `vmoodle` with these words; fail unless it ends with the status (None: any)."""
        env = self.env() | more
        if self.forked:
            ended = program.run(words, env, stdin, self.limit)
        else:
            ended = subprocess.run(
                [str(PROGRAM), *words],
                env=env,
                input=stdin or "",
                capture_output=True,
                text=True,
                check=False,
                timeout=self.limit,
            )
        said = ended.stdout + ended.stderr
        assert "Traceback" not in said, said
        if status is not None:
            assert ended.returncode == status, f"{words}: {ended.returncode}\n{said}"
        return ended

    def json(self, *words: str, **more: Any) -> Any:
        """Run `vmoodle … --json` and return the document it prints."""
        place = words.index("--") if "--" in words else len(words)
        return json.loads(self.run(*words[:place], "--json", *words[place:], **more).stdout)

    def problem(self, *words: str, failed: bool = False, **more: Any) -> dict[str, Any]:
        """Run a call that must fail; return the problem it prints with `--json`.

        Its status is 1 when an operation `failed`, else one of those for input not accepted.
        """
        ended = self.run(*words, "--json", status=None, **more)
        assert (ended.returncode == 1) if failed else ended.returncode > 1, ended
        problem: dict[str, Any] = json.loads(ended.stderr.splitlines()[-1])
        assert problem["code"]
        assert problem["detail"]
        assert problem["hint"]
        return problem

    def start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """Start `vmoodle` and leave it running; its output goes nowhere."""
        return subprocess.Popen(
            [str(PROGRAM), *words],
            env=self.env() | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def env(self) -> dict[str, str]:
        """Return the environment `vmoodle` runs in."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("VMOODLE_")}
        return clean | {"VMOODLE_HOME": str(self.home)} | self.environment

    def assert_clean(self) -> None:
        """Fail unless `vmoodle doctor` finds nothing."""
        self.run("doctor", status=0)
