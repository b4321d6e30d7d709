"""A workflow from Python in five lines. Simulated agents: no key, no model."""

import asyncio

import counterpoint

result = asyncio.run(counterpoint.run("survey", args={"path": "docs", "limit": 3}, model="sim"))
print(result.status.value, result.coverage)
print(result.value["report"])
