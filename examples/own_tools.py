"""Agents that may call a function of this program. The model is one of our own here too: no key, no network."""

import asyncio
from typing import Literal

import counterpoint
from counterpoint import Answer, Request, ToolCall, ToolTurn, Usage

STOCK = {"bolts": 70, "nuts": 0}


async def stock(article: str, unit: Literal["pieces", "boxes"] = "pieces") -> dict[str, int | str]:
    """How much of an article is in stock."""
    return {"article": article, unit: STOCK[article] // (10 if unit == "boxes" else 1)}


class Clerk:
    """A model: anything with these members is one."""

    spec = "clerk:1"
    output: Literal["native"] = "native"
    tools = True
    simulated = True

    def cost(self, usage: Usage) -> float | None:
        return 0.0

    async def request(self, request: Request) -> Answer:
        last = request.messages[-1]
        usage = Usage(input_tokens=10, output_tokens=5, requests=1)
        if not isinstance(last, ToolTurn):
            return Answer("", [ToolCall("1", "stock", {"article": request.label})], usage, self.spec, "tools")
        counted = last.results[0].content.splitlines()[1]  # between two lines that mark it as a tool's words
        return Answer(f"There are {counted}", [], usage, self.spec)


FLOW = counterpoint.Workflow("""
export const meta = { name: 'inventory', description: 'What is left of each article?' }
return await parallel(args.map((article) => () => agent(`How many ${article} are there?`, { label: article })))
""")

result = asyncio.run(counterpoint.run(FLOW, args=["bolts", "nuts"], model=Clerk(), tools=[stock]))
print(result.status.value, result.value)
