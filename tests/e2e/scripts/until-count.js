export const meta = {
  name: 'until-count',
  description: 'Collects until there are enough, within a bound of rounds',
  agents: 4,
  expect: { count: 8, infinite: true, total: null },
}

const ideas = []
for (let round = 0; ideas.length < 8 && round < 20; round++) {
  const { list } = await agent(`round ${round}`, { schema: { type: 'object', properties: { list: { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 2 } }, required: ['list'] } })
  ideas.push(...list)
}
return { count: ideas.length, infinite: budget.remaining() === Infinity, total: budget.total }
