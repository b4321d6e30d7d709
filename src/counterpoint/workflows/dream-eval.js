export const meta = {
  name: 'dream-eval',
  description: 'Held-out tasks for agents that have certain notes. Started by `counterpoint dream eval`',
  whenToUse: 'Never by hand: `counterpoint dream eval` gives the notes of each arm and checks the answers.',
  phases: [{ title: 'Try', detail: 'one agent per task and seed' }],
}

// args: {tasks: [{name, prompt}], seeds: [0, 1]}; the prompts have the notes of the arm in them already
if (!args?.tasks) throw new Error('This workflow is a part of dreaming. Start it with: counterpoint dream eval')
phase('Try')
const asked = args.tasks.flatMap((task) => args.seeds.map((seed) => ({ task, seed })))
const answers = await parallel(asked.map(({ task, seed }) => () => agent(task.prompt, {
  label: `${task.name} #${seed}`,
  tools: ['Read', 'Grep', 'Glob', 'LS'],
})))
return { answers: asked.map(({ task, seed }, n) => ({ task: task.name, seed, answer: answers[n] })) }
