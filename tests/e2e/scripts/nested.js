export const meta = {
  name: 'nested',
  description: 'Other workflows inline: by name, by file, with arguments, several at once; their errors can be caught',
  agents: 7,
  expect: {
    byName: { got: { n: 1 }, answer: 'string' }, byFile: { got: null, answer: 'string' }, several: [2, 3], thrown: 'RangeError: out of reach',
    deep: 'WorkflowError', unknown: true,
  },
}

const told = (promise) => promise.then((value) => value, (error) => error)
const byName = await workflow('child', { n: 1 })
const byFile = await workflow({ scriptPath: 'children/child.js' })
const several = (await parallel([2, 3].map((n) => () => workflow('child', { n })))).map((result) => result.got.n)
const failed = await told(workflow('child', { fail: true }))
const deep = await told(workflow('child', { deeper: true }))
const unknown = await told(workflow('chidl'))
await agent('in the parent')
return { byName, byFile, several, thrown: `${failed.name}: ${failed.message}`, deep: deep.name, unknown: /child/.test(unknown.message) }
