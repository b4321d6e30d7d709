export const meta = { name: 'args', description: 'args as it was given, in the ways that scripts take it' }

const given = typeof args === 'undefined' ? 'undefined' : Array.isArray(args) ? 'array' : args === null ? 'null' : typeof args
const input = (() => {
  if (typeof args !== 'string') return args ?? {}
  try { return JSON.parse(args) } catch { return { topic: args } }
})()
const { topic = 'none', limit = 3, ...rest } = Array.isArray(input) ? { topic: input.join('+') } : input
return { given, topic, limit, rest, question: args?.question ?? null }
