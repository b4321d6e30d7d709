// A workflow is plain JavaScript. meta comes first and is read without running anything, so it holds values only.
export const meta = {
  name: 'starter',
  description: 'Says in one sentence what each of some topics is about, and checks what was said',
  whenToUse: 'To begin a workflow of your own: change everything.',
  phases: [
    { title: 'Look', detail: 'one agent per topic' },
    { title: 'Check', detail: 'another agent tries to refute each answer' },
  ],
}

// args is the JSON of --args, and undefined without it: --args '{"topics": ["rain", "tides"]}'
const topics = args?.topics ?? ['rain', 'tides']

// With a schema, agent() gives an object of this form; without one, it gives the agent's text.
const ANSWER = {
  type: 'object',
  properties: { sentence: { type: 'string', minLength: 10, maxLength: 300 } },
  required: ['sentence'],
}
const VERDICT = {
  type: 'object',
  properties: { holds: { type: 'boolean' }, reason: { type: 'string', maxLength: 300 } },
  required: ['holds', 'reason'],
}

// Every topic goes through both stages on its own. A stage that gives null ends its topic: the agent was skipped, or failed.
const answers = await pipeline(
  topics,
  (topic) => agent(`Say in one sentence what "${topic}" is.`, { label: topic, phase: 'Look', schema: ANSWER }),
  async (answer, topic) => {
    const verdict = await agent(
      `Somebody says of "${topic}": ${answer.sentence}\nTry to refute it. When you are not sure, it does not hold.`,
      { label: `check ${topic}`, phase: 'Check', schema: VERDICT },
    )
    return { topic, sentence: answer.sentence, holds: verdict?.holds ?? null }
  },
)

// What was lost is said, not hidden.
const done = answers.filter((answer) => answer !== null)
if (done.length < topics.length) log(`${topics.length - done.length} of ${topics.length} topics have no answer`)
return { answers: done, missing: topics.length - done.length }
