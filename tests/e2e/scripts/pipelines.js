export const meta = {
  name: 'pipelines',
  description: 'Every item on its own way: arguments of stages, no barrier, nulls that end a way, hooks inside of stages',
  agents: 9,
  expect: {
    given: [['a', 'a', 0], ['b', 'b', 1]], later: [['A', 'a', 0], ['B', 'b', 1]], noBarrier: true, nulls: [null, 'b!', null], ran: 1,
    passed: ['undefined'], nested: [[1, 2], [2, 3]], promised: [2], none: [], mixed: ['x', null],
  },
}

const given = [], later = []
await pipeline(['a', 'b'], (...parts) => { given.push(parts); return parts[0].toUpperCase() }, (...parts) => { later.push(parts) })

// The second stage of the quick item runs while the first stage of the slow one still waits.
const events = []
await pipeline(
  ['quick', 'slow'],
  async (item) => {
    if (item === 'slow') await new Promise((resolve) => setTimeout(resolve, 50))
    events.push(`1 ${item}`)
  },
  (_, item) => { events.push(`2 ${item}`) },
)

let ran = 0
const nulls = await pipeline(['a', 'b', 'c'], (item) => (item === 'a' ? null : item), (item) => { if (item === 'c') throw new Error('no'); return `${item}!` }, (item) => { ran++; return item })
const passed = await pipeline([1], () => undefined, (previous) => typeof previous)
const number = (n) => ({ schema: { type: 'object', properties: { n: { const: n } }, required: ['n'] } })
const nested = await pipeline(
  [1, 2],
  (n) => parallel([() => agent(`a ${n}`, number(n)), () => agent(`b ${n}`, number(n + 1))]),
  (pair) => pipeline(pair, async (answer) => { await agent(`again ${answer.n}`); return answer.n }),
)
const promised = await pipeline(Promise.resolve([1]), (n) => n + 1)
const mixed = await pipeline(['x', 'y'], async (item) => { if (item === 'y') await agent('fails', { schema: 'x' }); else await agent('works'); return item })
return { given, later, noBarrier: events.indexOf('2 quick') < events.indexOf('1 slow'), nulls, ran, passed, nested, promised, none: await pipeline([], (x) => x), mixed }
