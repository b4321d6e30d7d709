export const meta = {
  name: 'wide-fan',
  description: 'More than a hundred thunks, results in order, closures shared by all of them',
  agents: 150,
  expect: { inOrder: true, seen: 10, sum: 11_175, nested: [2, 2], empty: [], concurrentMax: true },
}

const seen = new Map()
let sum = 0, running = 0, most = 0
const answers = await parallel(
  Array.from({ length: 150 }, (_, i) => async () => {
    most = Math.max(most, ++running)
    const { n } = await agent(`number ${i}`, { label: `n${i}`, schema: { type: 'object', properties: { n: { const: i } }, required: ['n'] } })
    running--
    sum += n
    if (!seen.has(n % 10)) seen.set(n % 10, i)
    return n
  }),
)
return {
  inOrder: answers.every((n, i) => n === i),
  seen: seen.size,
  sum,
  nested: await parallel([() => parallel([() => 1, () => 2]).then((r) => r.length), async () => (await parallel([() => 1, () => 2])).length]),
  empty: await parallel([]),
  concurrentMax: most === 150,
}
