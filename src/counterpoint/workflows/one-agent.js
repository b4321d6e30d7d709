export const meta = {
  name: 'one-agent',
  description: 'Hands a whole task to one agent',
  whenToUse: 'One question, one change, one document: whatever does not divide into pieces.',
  phases: [{ title: 'Work' }],
}

// args: {task, agentType?}, or the task itself as a text
const task = typeof args === 'string' ? args : args?.task
if (!task) throw new Error('one-agent needs a task: --args \'{"task": "…"}\'')

phase('Work')
return await agent(task, { label: 'the task', agentType: args?.agentType })
