"""In which order, and when, a script hears its answers."""

from __future__ import annotations

import asyncio

from msgspec import Raw

from counterpoint.runtime.deliveries import Deliveries, Make
from counterpoint.sandbox.frames import Delivery


class Disk:
    """A journal that has on disk what it is told to have."""

    def __init__(self) -> None:
        self.durable_seq = 0
        self._more = asyncio.Condition()

    async def reach(self, seq: int) -> None:
        async with self._more:
            self.durable_seq = seq
            self._more.notify_all()

    async def durable(self, seq: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self.durable_seq >= seq)


def answer(call: int) -> Make:
    async def make() -> Delivery:
        return Delivery(call, True, Raw(b"null"), 0.0, 0)

    return make


async def take(deliveries: Deliveries) -> list[int]:
    return [delivery.id for delivery in await deliveries.take()]


async def test_a_new_answer_leaves_when_the_journal_has_it_and_in_its_order():
    disk = Disk()
    deliveries = Deliveries(disk)
    for seq in (1, 2, 3):
        deliveries.live(seq, answer(seq * 10))
    taking = asyncio.ensure_future(take(deliveries))
    await asyncio.sleep(0)
    assert not taking.done()
    await disk.reach(2)
    assert await taking == [10, 20]
    assert deliveries.heard == 2
    await disk.reach(3)
    assert await take(deliveries) == [30]
    assert deliveries.empty


async def test_recorded_answers_go_by_their_places_and_before_new_ones():
    disk = Disk()
    await disk.reach(9)
    deliveries = Deliveries(disk)
    deliveries.live(5, answer(1))
    for place in (2, 0, 1):
        deliveries.placed(place, answer(100 + place))
    assert await take(deliveries) == [100, 101, 102]
    assert await take(deliveries) == [1]
    assert deliveries.heard == 1


async def test_a_batch_ends_where_a_place_is_missing_since_the_call_may_be_still_to_come():
    deliveries = Deliveries(Disk())
    for place in (0, 1, 3):
        deliveries.placed(place, answer(100 + place))
    assert await take(deliveries) == [100, 101]
    deliveries.placed(2, answer(102))
    assert await take(deliveries) == [102, 103]
    deliveries.placed(7, answer(107))
    assert await take(deliveries) == [107]


async def test_what_was_found_again_leaves_at_its_place_when_the_journal_has_it():
    disk = Disk()
    deliveries = Deliveries(disk)
    deliveries.placed(0, answer(100), seq=4)
    taking = asyncio.ensure_future(take(deliveries))
    await asyncio.sleep(0)
    assert not taking.done()
    await disk.reach(4)
    assert await taking == [100]
    assert deliveries.heard == 0


async def test_it_is_known_when_the_script_can_only_wait():
    disk = Disk()
    deliveries = Deliveries(disk)
    taking = asyncio.ensure_future(take(deliveries))
    await deliveries.waiting.wait()
    deliveries.live(1, answer(1))
    await disk.reach(1)
    assert await taking == [1]
    assert not deliveries.waiting.is_set()
