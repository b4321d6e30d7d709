export const meta = {
  name: 'one-agent',
  description: 'Hands a whole task to one agent',
  whenToUse: 'One question, one change, one document: whatever does not divide into pieces.',
  args: {
    type: 'object',
    properties: {
      task: { type: 'string', minLength: 1, description: 'what is to be done' },
      agentType: { type: 'string', description: 'a definition of agents that is to do it' },
    },
    required: ['task'],
  },
  phases: [{ title: 'Work', detail: 'the one agent' }],
}

// args: see meta.args, or the task as a text
const task = typeof args === 'string' ? args : args?.task
if (!task) throw new Error('one-agent needs a task: --args \'{"task": "…"}\'')

phase('Work')
return await agent(task, { label: 'the task', agentType: args?.agentType })
