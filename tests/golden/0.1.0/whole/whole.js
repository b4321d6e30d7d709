export const meta = {
  name: 'whole', description: 'every kind of event', phases: [{ title: 'A' }, { title: 'B' }],
}
phase('A')
log('begins')
console.warn('a warning')
const SCHEMA = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
const many = await parallel(Array.from({ length: 8 }, (_, i) => () =>
  agent(`task ${i}`, { schema: SCHEMA, label: `t${i}`, lable: 1 })))
const broken = await parallel([
  () => undefinedName, () => { throw new Error('a slot') }, () => agent('x', { schema: { type: 'string' } }),
])
await new Promise((resolve) => setTimeout(resolve, 5))
const [said, long] = await workflow({ scriptPath: 'child.js' }, { n: 1 })
const listed = await counterpoint.tool('Glob', { pattern: '*.js' })
phase('B')
const yes = await counterpoint.checkpoint('Go on?', { options: [true, false] })
const last = await agent('the last')
counterpoint.fail(last, 'for the record')
return { many, broken, said, long: long.length, listed, yes, last, chance: Math.random(), at: Date.now() > 0 }
