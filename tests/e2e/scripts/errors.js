export const meta = {
  name: 'errors',
  description: 'Mistakes are errors that can be caught, each with a name and a message',
  agents: 0,
  expect: {
    schema: 'SchemaError', contradiction: 'SchemaError', type: 'UnknownAgentTypeError', workflow: 'WorkflowError', ref: 'WorkflowError', file: 'WorkflowError',
    promise: 'TypeError', notArray: 'TypeError', notFunction: 'TypeError', tooMany: 'RangeError', stages: 'TypeError', items: 'TypeError', thrown: [null, null],
    instances: true,
  },
}

const seen = []
const told = async (f) => { try { return await f() } catch (error) { seen.push(error); return error.name } }
const out = {
  schema: await told(() => agent('x', { schema: { type: 'array' } })),
  contradiction: await told(() => agent('x', { schema: { type: 'object', properties: {}, required: ['a'], additionalProperties: false } })),
  type: await told(() => agent('x', { agentType: 'nobody' })),
  workflow: await told(() => workflow('nobody')),
  ref: await told(() => workflow({ path: 'x' })),
  file: await told(() => workflow({ scriptPath: 'nowhere.js' })),
  promise: await told(() => parallel([Promise.resolve(1)])),
  notArray: await told(() => parallel(() => 1)),
  notFunction: await told(() => parallel(['x'])),
  tooMany: await told(() => parallel(new Array(4097).fill(() => 1))),
  stages: await told(() => pipeline([1])),
  items: await told(() => pipeline('x', (x) => x)),
  thrown: await parallel([() => { throw new Error('at once') }, async () => { throw new Error('later') }]),
}
return { ...out, instances: seen.every((error) => error instanceof Error && error.message.length > 10) }
