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
    measured = json.loads(ended.stdout)
    rows = measured["rows"]
    deaths = {naive: sum(row["refuted_by_death"] for row in rows if ("naive" in row["pattern"]) is naive)
              for naive in (False, True)}  # fmt: skip
    assert deaths[False] == 0
    assert deaths[True] > 0
    passed = {row["pattern"]: row["passed_by_death"] for row in measured["critic"]}
    assert passed["critic"] == passed["critic, 3 together"] == 0
    assert passed["null is no gap"] > 0
    assert all(row["unseen"] for row in measured["critic"] if row["pattern"] == "critic")
    first = {row["pattern"]: row["first"][0] for row in measured["judge"]}
    assert first["judge, 5"] < first["same order, 5"], (
        "judges that like what they see first decide less in mixed orders"
    )
