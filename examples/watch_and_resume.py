"""Follow a run's events while it goes on, and run again only what failed."""

import asyncio

import counterpoint

FLOW = counterpoint.Workflow("""
export const meta = { name: 'capitals', description: 'Ask for capitals, all at once' }
return await parallel(args.map((land) => () => agent(`What is the capital of ${land}?`, { label: land })))
""")


async def main() -> None:
    first = await counterpoint.run(FLOW, args=["Chad", "Peru", "Oman"], model="sim:seed=3,fail=0.5", on_event=tell)
    print("first:", first.status.value, first.coverage)
    if not first.ok:
        again = await counterpoint.resume(first.run_id)
        print("again:", again.document["resumed_from"], "reused")


def tell(recorded: counterpoint.Recorded) -> None:
    print(recorded.seq, type(recorded.event).__name__)


asyncio.run(main())
