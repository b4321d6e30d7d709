export const meta = {
  name: 'until-dry',
  description: 'Rounds of finders until two in a row bring nothing new, compared with everything seen',
  agents: 10,
  expect: { found: ['f0', 'f1', 'f2'], rounds: 5, dropped: 7 },
}

// What the two finders of each round will say.
const says = [['f0', 'f1'], ['f1', 'f0'], ['f2', 'f0'], ['f2', 'f1'], ['f0', 'f2']]
const finding = (id) => ({ schema: { type: 'object', properties: { id: { const: id } }, required: ['id'] } })
const seen = new Set(), found = []
let dry = 0, rounds = 0, dropped = 0
while (dry < 2) {
  const answers = await parallel(says[rounds].map((id, i) => () => agent(`round ${rounds}, finder ${i}. Known: ${[...seen].join()}`, { label: `r${rounds}f${i}`, ...finding(id) })))
  rounds++
  const fresh = answers.filter(Boolean).filter(({ id }) => !seen.has(id) && seen.add(id))
  dropped += answers.length - fresh.length
  found.push(...fresh.map(({ id }) => id))
  dry = fresh.length ? 0 : dry + 1
}
return { found, rounds, dropped }
