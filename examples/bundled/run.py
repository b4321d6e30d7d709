"""Bundled workflows on a real library, offline: `python examples/bundled/run.py review`.

Others are deep-research, bug-hunt, plan-panel, fix-until-green and migrate.

The library is that of examples/port, copied into a new folder. Files, searches, edits, commands and checks are real;
the model is scripted: what its agents say stands below, true things and false ones, and it was written by a person.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint.testing import NULL, Asked, Played, ScriptedModel, Step, Uses, run_script

LIBRARY = Path(__file__).parent.parent / "port" / "original"


@dataclass(frozen=True, slots=True)
class Case:
    """One workflow: what it is given, and what its agents say."""

    args: dict[str, Any]
    agents: Callable[[], ScriptedModel]
    allow: tuple[str, ...] = ()


# --- deep-research: what the library says of itself ----------------------------------------------------------------

EVEN = "Half a cent goes to the even neighbour."
SAYS: dict[str, list[tuple[str, str]]] = {
    "ledger/money.py": [
        ("Half a cent is rounded to the even cent.", EVEN),
        ("It is rounded up.", "half a cent goes up"),
    ],
    "ledger/invoice.py": [
        ("Tax is rounded once, for the sum of all items.", "added = tax(total, percent)"),
        ("The tax of each item is rounded.", "total = sum(cents for _, cents in items)"),
    ],
}


def searches(asked: Asked) -> dict[str, Any]:
    paths = [line for answer in asked.results for line in answer.splitlines() if line.endswith(".py")]
    return {"sources": [{"source": path, "why": "it has tax", "relevance": 4} for path in [*paths, "ledger/RATES.md"]]}


def tells(asked: Asked) -> dict[str, Any]:
    return {"claims": [{"claim": claim, "quote": quote} for claim, quote in SAYS.get(asked.label, [])]}


def weighs(asked: Asked) -> dict[str, Any]:
    if "of each item" in asked.prompt:
        return {"refuted": True, "reason": "The quote adds up the items, before any tax."}
    return {"refuted": False, "reason": "The source says it."}


def deep_research() -> ScriptedModel:
    titles = ("how it is rounded", "where it is rounded", "what the law says")
    return ScriptedModel(
        Step({"angles": [{"title": title, "looks_for": "tax"} for title in titles]}, label="scope"),
        Step(NULL, label="what the law says"),
        Step(Uses("Grep", pattern="tax", path="ledger"), searches, label="* it is rounded", times=2),
        Step(weighs, label="verify *", times=None),
        Step("To the even cent [2], and once for the whole invoice [1], as everywhere [5].", label="synthesis"),
        Step(tells, label="ledger/*", times=None),
    )


# --- review and bug-hunt: what is really wrong with the library, and what is not -----------------------------------

WIDE = 'lines.append(f"{wrapped[-1]:<{width}} {amount:>{right}}")'
NUMERAL = 'lines = [f"Invoice {roman(number)}"'
FLOAT = "return round(cents * percent / 100)"
EMPTY = "each, left = divmod(total, parts)"
MADE_UP = "except ZeroDivisionError: pass"


def finding(title: str, line: int, quote: str, severity: str, why: str) -> dict[str, Any]:
    return {"title": title, "line": line, "quote": quote, "severity": severity, "why": why}


READ: dict[str, list[dict[str, Any]]] = {
    "invoice.py": [
        finding("The 4,000th invoice cannot be written", 16, NUMERAL, "high", "roman() raises ValueError from 4000."),
        finding("An error is swallowed without a word", 18, MADE_UP, "medium", "The division by parts may fail."),
    ],
    "money.py": [
        finding("Tax on large amounts is not exact", 17, FLOAT, "medium", "tax(10**17 + 1, 100) gives 10**17: floats."),
        finding("A split into no parts divides by zero", 10, EMPTY, "high", "divmod(total, 0) raises an error."),
    ],
    "table.py": [
        finding("A long word moves its amount to the right", 17, WIDE, "low", "wrap() cuts no word longer than width."),
    ],
}


def reads(asked: Asked) -> dict[str, Any]:
    return {"findings": READ.get(asked.label.rpartition("/")[2], [])}


def doubts(asked: Asked) -> dict[str, Any]:
    if "divides by zero" in asked.prompt:
        return {"stands": False, "reason": "The line above raises ValueError where parts is below 1."}
    if "Relevance" in asked.prompt and "Tax" in asked.prompt:
        return {"stands": False, "reason": "Nobody writes an invoice over 90 trillion."}
    return {"stands": True, "reason": "I ran it with that input, and it fails as it is said."}


def review() -> ScriptedModel:
    return ScriptedModel(
        Step(doubts, label="* skeptic *", times=None),
        Step("Number invoices in figures: the 4,000th cannot be written. The rest can wait.", label="synthesis"),
        Step(reads, label="ledger/*", times=None),
    )


ROUNDS: list[list[tuple[str, str, str, str]]] = [
    [("ledger/invoice.py", NUMERAL, "The 4,000th invoice raises ValueError.", "high")],
    [("ledger/money.py", FLOAT, "Above 2**53 the tax is that of another amount.", "medium"),
     ("ledger/money.py", EMPTY, "No parts: this divides by zero.", "high")],
    [("ledger/money.py", FLOAT, "Large amounts are not exact.", "medium")],
    [],
]  # fmt: skip


def hunts(asked: Asked) -> dict[str, Any]:
    names = ("file", "quote", "what", "severity")
    n, group = (int(word.split()[1]) for word in asked.label.split(", "))
    there = [dict(zip(names, bug, strict=True)) for bug in ROUNDS[n - 1]] if group == 1 else []
    return {"bugs": there}


def refutes(asked: Asked) -> dict[str, Any]:
    if "divides by zero" in asked.prompt:
        return {"refuted": True, "reason": "split() raises ValueError where parts is below 1, a line above."}
    return {"refuted": False, "reason": "I could not refute it: the input does what is said."}


def bug_hunt() -> ScriptedModel:
    return ScriptedModel(
        Step(NULL, label="round 1, group 2*", times=2),
        Step(hunts, label="round *", times=None),
        Step(refutes, label="verify *", times=None),
    )


# --- plan-panel: what to do about the 4,000th invoice ----------------------------------------------------------------

SMALL = "1. In invoice.py write the number in figures instead of roman(number). 2. Run test_ledger.py."
CAREFUL = (
    "1. Add a case with number 4000 to vectors.json; see test_ledger.py fail. 2. In invoice.py write figures from "
    "4000 on, numerals below, so that no old invoice changes. 3. Run test_ledger.py: 33 cases. Back: one line."
)
BIG = "1. Teach roman() the overlined signs for thousands. 2. Print invoices in a font that has them."
FINAL = f"{CAREFUL} 4. Tell the bookkeepers that numbers change their look at 4000."


def scores(asked: Asked) -> dict[str, Any]:
    values = {SMALL: 6, CAREFUL: 9, BIG: 2}
    shown = asked.prompt.split("# Candidate ")[1:]
    given = [next(value for plan, value in values.items() if plan in candidate) for candidate in shown]
    return {"scores": given, "note": "Old invoices must stay as they are."}


def plan_panel() -> ScriptedModel:
    return ScriptedModel(
        Step(Uses("Read", file_path="ledger/invoice.py"), SMALL, label="planner 1"),
        Step(Uses("Read", file_path="ledger/roman.py"), BIG, label="planner 2"),
        Step(NULL, label="planner 3"),
        Step(Uses("Grep", pattern="roman", path="."), CAREFUL, label="planner 4"),
        Step(NULL, label="judge 2/3"),
        Step(scores, label="judge *", times=2),
        Step({"gaps": ["Nobody tells the bookkeepers."]}, label="critic"),
        Step(FINAL, label="final plan"),
    )


# --- fix-until-green: a check that is really red -------------------------------------------------------------------

CHECK = """from ledger.table import table

lines = table([("Donaudampfschifffahrt", 100), ("tea", 12345)], 8)
print("\\n".join(lines))
assert len({len(line) for line in lines if "." in line}) == 1, "the amounts do not stand below each other"
"""


def edit(path: str, old: str, new: str) -> tuple[Uses, Uses]:
    return Uses("Read", file_path=path), Uses("Edit", file_path=path, old_string=old, new_string=new)


def said(cause: str, change: str) -> dict[str, Any]:
    return {"cause": cause, "change": change, "gave_up": False}


def fix_until_green() -> ScriptedModel:
    first = edit("ledger/table.py", "wrap(text, width) or", "wrap(text, width + 1) or")
    second = edit(
        "ledger/table.py", "        wrapped = wrap(text, width + 1) or",
        "        text = ' '.join(part for word in text.split() for part in cut(word, width))\n"
        "        wrapped = wrap(text, width) or",
    )  # fmt: skip
    helper = Uses(
        "Edit", file_path="ledger/table.py", old_string="def table(",
        new_string='def cut(word: str, width: int) -> list[str]:\n    """Its pieces of at most `width` signs."""\n'
        "    return [word[at : at + width] for at in range(0, len(word), width)]\n\n\ndef table(",
    )  # fmt: skip
    return ScriptedModel(
        Step(*first, said("the width is one too small", "table() wraps at width + 1"), label="attempt 1"),
        Step(*second, helper, said("a word longer than the column is not cut", "table() cuts it"), label="attempt 2"),
        Step({"weakened": False, "where": ""}, label="does it cheat?"),
    )  # fmt: skip


# --- migrate: a line that is in every file -------------------------------------------------------------------------

FUTURE = "from __future__ import annotations\n\n"


def changes(path: str) -> tuple[Callable[[Asked], Any], ...]:
    return (
        lambda asked: Uses("Read", file_path=path),
        lambda asked: Uses("Edit", file_path=path, old_string=FUTURE, new_string=""),
        lambda asked: {"changed": 1, "left": ""},
    )


def migrate() -> ScriptedModel:
    names = ("checksum", "dates", "invoice", "money", "roman", "slug", "table", "wrap")
    return ScriptedModel(
        Step(NULL, prompt="in the file ledger/slug.py"),
        *(
            Step(*changes(f"ledger/{name}.py"), prompt=f"in the file ledger/{name}.py")
            for name in names if name != "slug"
        ),
        Step({"right": True, "why": "Nothing uses annotations."}, prompt="Review one changed file", times=None),
    )  # fmt: skip


CASES = {
    "deep-research": Case({"question": "How is tax rounded?", "path": "ledger", "angles": 3}, deep_research),
    "review": Case({"path": "ledger"}, review),
    "bug-hunt": Case({"path": "ledger", "pattern": "[a-z]*.py"}, bug_hunt),
    "plan-panel": Case({"goal": "Invoices from number 4,000 on can be written", "path": "ledger"}, plan_panel),
    "fix-until-green": Case(
        {"command": "python3 -B check_wide.py && python3 -B test_ledger.py", "path": "ledger"},
        fix_until_green,
        ("Edit", "Bash(python3 *)"),
    ),
    "migrate": Case(
        {
            "instruction": "Remove the import of annotations from __future__: the library needs Python 3.11 or later.",
            "pattern": "^from __future__ import annotations",
            "path": "ledger",
            "check": "python3 -B test_ledger.py",
        },
        migrate,
        ("Edit", "Bash(python3 *)"),
    ),
}


async def play(name: str, folder: Path) -> Played:
    """Runs one of them in a new folder with the library."""
    case = CASES[name]
    await asyncio.to_thread(shutil.copytree, LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "check_wide.py").write_text(CHECK, "utf-8")
    return await run_script(name, case.agents(), args=case.args, cwd=folder, allow=case.allow)


def shown(played: Played) -> str:
    """The report, and what it took."""
    ok, of = played.result.coverage
    used = played.result.usage
    tokens = f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out"
    took = f"{played.result.document['duration_s']:.1f} s"
    return f"{played.value['report']}\n\n{played.status.value}: {ok} of {of} agents ok, {tokens}, {took}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflow", choices=CASES)
    name = parser.parse_args().workflow
    with tempfile.TemporaryDirectory() as folder:
        print(shown(asyncio.run(play(name, Path(folder) / "library"))))


if __name__ == "__main__":
    main()
