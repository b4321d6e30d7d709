export const meta = {
  name: 'options',
  description: 'Options that are undefined count as absent; unknown ones are warnings that name the nearest; odd prompts become texts',
  agents: 7,
  expect: ['string', 'string', 'string', 'string', 'string', 'string', { ok: true }],
  logs: ["unknown option 'lable'; did you mean 'label'?", "unknown option 'temperature'.", 'the prompt is object', 'the prompt is undefined', 'the prompt is a number'],
}

const none = undefined
return [
  typeof (await agent('a', { label: none, phase: none, schema: none, model: none, effort: none, isolation: none, agentType: none, tools: none, disallowedTools: none, stallMs: none })),
  typeof (await agent('b', none)),
  typeof (await agent('c', { lable: 'x', temperature: 0.5, wrong: none })),
  typeof (await agent({ task: 'd' })),
  typeof (await agent()),
  typeof (await agent(7)),
  await agent('g', { schema: { type: 'object', properties: { ok: { const: true } }, required: ['ok'] }, effort: 'HIGH', label: 'g', stallMs: 60_000 }),
]
