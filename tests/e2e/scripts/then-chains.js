export const meta = {
  name: 'then-chains',
  description: 'Promises of hooks as any other promise: then, catch, finally, all, race, any, allSettled, late awaits',
  agents: 15,
  expect: {
    chained: 'text', caught: 'SchemaError', final: 1, all: ['a', 'b', 'c'], race: true, any: 'k', settled: ['fulfilled', 'rejected'],
    late: ['string', 'string'], fire: 2, collected: 2, mapped: 'm',
  },
}

const kind = (k) => ({ schema: { type: 'object', properties: { k: { const: k } }, required: ['k'] } })
let finals = 0
const chained = await agent('one').then((text) => typeof text === 'string' && 'text')
const caught = await agent('two', { schema: { type: 'string' } }).catch((error) => error.name).finally(() => { finals++ })
const all = (await Promise.all(['a', 'b', 'c'].map((k) => agent(`ask ${k}`, kind(k))))).map((answer) => answer.k)
const race = typeof (await Promise.race([agent('quick'), agent('quicker')])) === 'string'
const any = (await Promise.any([agent('x', { schema: 7 }), agent('y', kind('k'))])).k
const settled = (await Promise.allSettled([agent('fine'), agent('bad', { schema: [] })])).map((end) => end.status)

// Started now, awaited later, in the other order.
const first = agent('first'), second = agent('second')
const late = [typeof (await second), typeof (await first)]

// Nobody waits for these; they are finished all the same, and what follows them is run.
let fired = 0
const fire = (n) => agent(`fire ${n}`).then(() => { fired++ })
const pending = [fire(1), fire(2)]
await Promise.all(pending)

const store = new Map()
for (const key of ['p', 'q']) store.set(key, agent(`store ${key}`))
const collected = (await Promise.all(store.values())).length
const mapped = await agent('m').then(() => 'm')
return { chained, caught, final: finals, all, race, any, settled, late, fire: fired, collected, mapped }
