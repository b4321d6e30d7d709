export const meta = {
  name: 'tournament',
  description: 'Attempts from different angles, judged in pairs until one is left; the script counts, not a model',
  agents: 15,
  expect: { winner: 7, rounds: 3, games: 7 },
}

const angles = Array.from({ length: 8 }, (_, i) => i)
const attempts = await parallel(angles.map((i) => () => agent(`attempt from angle ${i}`, { schema: { type: 'object', properties: { score: { const: i } }, required: ['score'] } })))
let alive = attempts.map(({ score }, i) => ({ i, score })), rounds = 0, games = 0
while (alive.length > 1) {
  const pairs = []
  for (let k = 0; k < alive.length; k += 2) pairs.push([alive[k], alive[k + 1]])
  alive = await parallel(pairs.map(([left, right]) => async () => {
    games++
    const better = left.score > right.score ? 'left' : 'right'
    const { winner } = await agent(`judge ${left.i} against ${right.i}`, { schema: { type: 'object', properties: { winner: { const: better } }, required: ['winner'] } })
    return winner === 'left' ? left : right
  }))
  rounds++
}
return { winner: alive[0].i, rounds, games }
