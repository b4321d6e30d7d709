import asyncio

from counterpoint.agents.task import AgentTask
from counterpoint.workers.prefix import LEAST_CHARS, Prefixes, shared_beginning

LONG = "x" * LEAST_CHARS


def tasks(*endings: str, model: str = "m") -> list[AgentTask]:
    return [AgentTask(id=f"a{n}", prompt=LONG + ending, model=model) for n, ending in enumerate(endings)]


def test_the_common_beginning_is_found():
    assert shared_beginning("abcdef", "abcxef", 100) == 3
    assert shared_beginning("abc", "abc", 2) == 2
    assert shared_beginning("", "abc", 9) == 0


def test_what_siblings_share_is_known_before_the_first_is_sent():
    prefixes, siblings = Prefixes(), tasks("one", "two", "three")
    for task in siblings:
        prefixes.announce(task)
    assert [prefixes.shared(task) for task in siblings] == [LEAST_CHARS] * 3


def test_a_lone_task_and_a_short_prompt_share_nothing():
    prefixes, (alone,) = Prefixes(), tasks("one")
    short = AgentTask(id="a9", prompt="short", model="m")
    prefixes.announce(alone)
    prefixes.announce(short)
    assert (prefixes.shared(alone), prefixes.shared(short)) == (0, 0)


async def test_the_first_goes_ahead_and_the_rest_follow_its_answer():
    prefixes, siblings = Prefixes(), tasks("one", "two", "three")
    for task in siblings:
        prefixes.announce(task)
    order: list[str] = []

    async def send(task: AgentTask) -> None:
        async with prefixes.turn(task) as shared:
            assert shared == LEAST_CHARS
            order.append(f"{task.id} sent")
            await asyncio.sleep(0)
        order.append(f"{task.id} answered")

    await asyncio.gather(*map(send, siblings))
    assert order[:2] == ["a0 sent", "a0 answered"]
    assert set(order[2:4]) == {"a1 sent", "a2 sent"}


async def test_a_first_that_fails_does_not_hold_up_the_rest():
    prefixes, siblings = Prefixes(), tasks("one", "two")
    for task in siblings:
        prefixes.announce(task)

    async def send(task: AgentTask) -> str:
        async with prefixes.turn(task):
            if task.id == "a0":
                raise ConnectionError
            return "sent"

    assert (await asyncio.gather(*map(send, siblings), return_exceptions=True))[1] == "sent"
