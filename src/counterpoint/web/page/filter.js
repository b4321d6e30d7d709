// What a filter means: `state:failed phase:find cost>0.2 time>30 line:12 "some text"`; all of it must hold.

import { stateOf } from './attention.js'

const WORDS = /(?:(\w+)([:<>]))?(?:"([^"]*)"|(\S+))/g

export function phaseFilter(title) {
  return /\s/.test(title) ? `phase:"${title}"` : `phase:${title}`
}

export function matcher(text, timeline) {
  const tests = [...text.matchAll(WORDS)].map(([, key, sign, quoted, plain]) => agentTest(key, sign, (quoted ?? plain).toLowerCase(), timeline))
  return (agent) => tests.every((each) => each(agent))
}

// Of the list of runs: `tag:nightly status:failed text`.
export function runMatcher(text) {
  const tests = [...text.matchAll(WORDS)].map(([, key, sign, quoted, plain]) => runTest(key, sign, (quoted ?? plain).toLowerCase()))
  return (run) => tests.every((each) => each(run))
}

function runTest(key, sign, wanted) {
  if (sign === ':' && key === 'tag') return (run) => run.tags.some((tag) => tag.toLowerCase() === wanted)
  if (sign === ':' && key === 'status') return (run) => run.status === wanted
  return (run) => run.name.toLowerCase().includes(wanted) || run.run_id.includes(wanted)
}

function agentTest(key, sign, wanted, timeline) {
  const holds = (value) => String(value ?? '').toLowerCase().includes(wanted)
  const measures = { cost: (a) => a.usage.usd ?? 0, time: (a) => a.seconds, tokens: (a) => a.usage.output_tokens, turns: (a) => a.turns, tools: (a) => a.tools }
  if (sign === '<' || sign === '>') {
    const measure = measures[key] ?? (() => NaN)
    return (agent) => (sign === '>' ? measure(agent) > Number(wanted) : measure(agent) < Number(wanted))
  }
  switch (key) {
    case 'state':
      return (agent) => wanted === (stateOf(agent, timeline.doing(agent.id))) || wanted === agent.state || (wanted === 'bad' && agent.outcome !== null && !agent.good)
    case 'phase':
      return (agent) => holds(agent.phase ?? '(no phase)')
    case 'model':
      return (agent) => holds(agent.answeredBy || agent.model)
    case 'line':
      return (agent) => agent.line === Number(wanted)
    default:
      return (agent) => holds(agent.label) || agent.id === wanted || holds(agent.doing) || holds(agent.fault?.message)
  }
}
