export const meta = {
  name: 'until-budget',
  description: 'Works while the budget lasts, and knows that it is there',
  model: 'sim:tokens=100',
  flags: ['--budget', '1000'],
  agents: 8,
  expect: { total: 1000, rounds: 8, left: 200, spent: 800 },
}

let rounds = 0
while (budget.total && budget.remaining() > 250) {
  await agent(`round ${rounds}`)
  rounds++
}
return { total: budget.total, rounds, left: budget.remaining(), spent: budget.spent() }
