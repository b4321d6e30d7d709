"""Whether a real model can use the notes: the embedded `local` one answers questions whose answers stand in no file.

Half a billion parameters do no tasks with tools. What they can do is to write a command line, so that is asked: one
question for each fact of a family, under memories none, ours (as the scripted dream has published it), shuffled and
oracle. Right is a command that has the fact's value; the model sees the notes exactly as any agent does.

    python benchmarks/dream_local.py            # needs the weights: counterpoint models pull
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from dream_dreamer import Rates
from dream_world import Fact
from dreaming import Lived, live, memory_for

import counterpoint

ARMS = ("none", "ours", "shuffled", "oracle")
QUESTION = counterpoint.Workflow(
    "export const meta = { name: 'question', description: 'One question about a project' }\n"
    "return await agent(args.question, { label: args.id, tools: [] })\n",
    "question.js",
)


def question(fact: Fact) -> str:
    """What the model is asked."""
    if fact.option:
        return (
            f"Write the command that does `bin/lab {fact.verb} apple` with the right --{fact.option}. Only the command."
        )
    return f"Which command of bin/lab has to run before `bin/lab {fact.verb} apple`? Only the command."


async def ask(lived: Lived, other: Lived, arm: str) -> list[bool]:
    """One question for each fact, under one memory."""
    folder = lived.folder.with_name(f"{lived.folder.name}-local-{arm}")
    lived.family.build(folder)
    memory_for(arm, lived, other, folder)
    right: list[bool] = []
    for fact in lived.family.facts:
        result = await counterpoint.run(
            QUESTION, model="local", args={"question": question(fact), "id": fact.verb}, cwd=folder, state=folder / ".s"
        )
        right.append(fact.value in str(result.value))
    return right


async def compare(families: int, root: Path) -> dict[str, list[bool]]:
    """The answers under each memory."""
    lived = [await live(number, 1, Rates(), root) for number in range(families)]
    found: dict[str, list[bool]] = {arm: [] for arm in ARMS}
    for at, one in enumerate(lived):
        for arm in ARMS:
            found[arm] += await ask(one, lived[(at + 1) % len(lived)], arm)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--families", type=int, default=5)
    with tempfile.TemporaryDirectory(prefix="dreaming-", ignore_cleanup_errors=True) as root:
        found = asyncio.run(compare(parser.parse_args().families, Path(root)))
    print("| memory | right answers |\n| --- | --: |")
    for arm, right in found.items():
        print(f"| {arm} | {sum(right)} of {len(right)} |")


if __name__ == "__main__":
    main()
