"""The library gives what the shared test vector says: `python test_ledger.py`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def outcome(case: dict[str, Any]) -> tuple[str, Any]:
    function = getattr(importlib.import_module(f"ledger.{case['file']}"), case["call"])
    try:
        return "gives", json.loads(json.dumps(function(*case["with"])))
    except ValueError:
        return "raises", True


def main() -> int:
    cases = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
    wrong = 0
    for case in cases:
        kind, value = outcome(case)
        if kind not in case or case[kind] != value:
            wrong += 1
            print(f"ledger/{case['file']}.py: {case['call']}(*{case['with']}) {kind} {value!r}")
    print(f"{len(cases) - wrong} of {len(cases)} cases are right.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
