export const meta = {
  name: 'phases',
  description: 'The phase is that of the moment of the call; opts.phase wins; groups are by exact title',
  phases: [{ title: 'Plan' }, { title: 'Work' }, { title: 'Never' }],
  agents: 6,
  expect: 'done',
  groups: { Plan: 2, Work: 2, work: 1, Extra: 1 },
}

phase('Plan')
const early = agent('called in Plan, finished later')
await agent('in Plan')
phase('Work')
await agent('in Work')
await agent('in Extra', { phase: 'Extra' })
await pipeline(['w'], (item) => agent(item, { phase: 'work' }))
await early
await agent('in Work again')
return 'done'
