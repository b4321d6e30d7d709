export const meta = {
  name: 'slot-pool',
  description: 'A pool of workers that the script makes itself, with a queue that grows while it is emptied',
  agents: 12,
  expect: { done: 12, most: 3, order: true },
}

const queue = Array.from({ length: 9 }, (_, i) => i)
const done = []
let running = 0, most = 0, next = 0
const worker = async () => {
  while (true) {
    if (next >= queue.length) return
    const item = next++
    most = Math.max(most, ++running)
    await agent(`item ${queue[item]}`, { label: `item ${item}` })
    running--
    done.push(item)
    if (item < 3) queue.push(100 + item)
  }
}
await Promise.all(Array.from({ length: 3 }, worker))

// The same with a set of promises and a race.
const inFlight = new Set()
for (const item of [1, 2, 3, 4]) {
  const task = Promise.resolve(item).finally(() => inFlight.delete(task))
  inFlight.add(task)
  if (inFlight.size >= 2) await Promise.race(inFlight)
}
await Promise.all(inFlight)
return { done: done.length, most, order: done.toSorted((a, b) => a - b).every((item, i) => item === i) }
