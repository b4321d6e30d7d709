"""The calibration of docs/verification.md, with fewer claims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent.parent.parent / "benchmarks" / "verification.py"


def test_survivors_are_as_theory_says_and_the_dead_refute_nothing():
    ended = subprocess.run(
        [sys.executable, str(BENCHMARK), "--crowd", "1", "--claims", "600", "--within", "0.07", "--json"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr
    rows = json.loads(ended.stdout)["rows"]
    deaths = {naive: sum(row["refuted_by_death"] for row in rows if ("naive" in row["pattern"]) is naive)
              for naive in (False, True)}  # fmt: skip
    assert deaths[False] == 0
    assert deaths[True] > 0
