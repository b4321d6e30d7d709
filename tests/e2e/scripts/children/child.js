export const meta = { name: 'child', description: 'Runs inside of another workflow' }

const answer = await agent(`in the child: ${JSON.stringify(args)}`)
if (args?.fail) throw new RangeError('out of reach')
if (args?.deeper) return await workflow('child', { n: 0 })
return { got: args ?? null, answer: typeof answer }
