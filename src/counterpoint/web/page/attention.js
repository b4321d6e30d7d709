// What needs a person, in a fixed order, and the sign of each state. The rules are those of `attention.py`.

import { count, duration, money, oneLine } from './text.js'

const STILL_S = 60
const SLOW_TIMES = 3
const SLOW_LEAST_S = 10
const SLOW_BASIS = 5
const NEARLY = 0.9
const FEW = 3
const BAD = new Set(['failed', 'invalid', 'limited', 'timed_out', 'stalled'])

const SKEPTIC = /^verify (\d+)\/\d+$/

export const SIGNS = {
  queued: '·', held: '◔', model: '▶', tool: '⚙', human: '!', ok: '✓', failed: '✗', invalid: '?', timed_out: 'T',
  limited: 'q', stalled: 'z', skipped: '⊘', cancelled: '−', interrupted: '/', reused: '↺',
}

export const STATES = {
  queued: 'in the queue', held: 'waits for the provider', model: 'asks the model', tool: 'uses a tool', human: 'a person is asked',
  ok: 'ok', failed: 'failed', invalid: 'output never valid', limited: 'quota used up', timed_out: 'timed out', stalled: 'stalled', skipped: 'skipped',
  cancelled: 'cancelled', interrupted: 'cut off: its process ended', reused: 'reused from the journal', waits: 'quota',
}

export function stateOf(agent, doing = 'model') {
  if (agent.outcome) return agent.outcome
  if (agent.state === 'queued') return 'queued'
  return { limited: 'held', tool: 'tool', gone: 'interrupted' }[doing] ?? 'model'
}

export function needs(view, now) {
  const moving = !view.ended && !view.gone
  return [
    ...gates(view),
    ...gone(view),
    ...script(view),
    ...(moving ? still(view, now) : []),
    ...failed(view),
    ...conflicts(view),
    ...(moving ? [...held(view, now), ...budget(view), ...slow(view, now)] : []),
  ]
}

function need(kind, text, since, agents = [], gate = '') {
  return { kind, text, since, agents, gate }
}

function gates(view) {
  return view.openGates().map((gate) => need('gate', gate.question, gate.openedAt, [], gate.id))
}

function gone(view) {
  return view.interrupted ? [need('gone', view.shownMessage, view.lastAt)] : []
}

function script(view) {
  const found = []
  if (view.error) found.push(need('script', `${view.error.name}: ${view.error.message}`, view.endedAt || view.lastAt))
  for (const fault of view.scriptErrors) {
    found.push(need('script', `line ${fault.line}: ${fault.name}: ${fault.message}`, view.lastAt))
  }
  return found
}

function still(view, now) {
  const limit = Math.min(STILL_S, (view.bounds.stall_s || 2 * STILL_S) / 2)
  return view.own()
    .filter((agent) => agent.state === 'running' && now - agent.lastAt >= limit)
    .map((agent) => need('still', `${agent.label || agent.id}: no progress${agent.doing ? `: ${agent.doing}` : ''}`, agent.lastAt, [agent.id]))
}

function failed(view) {
  const groups = new Map()
  for (const agent of view.counted()) {
    if (!BAD.has(agent.outcome)) continue
    const why = agent.fault ? `${agent.fault.name}: ${agent.fault.message}` : ''
    const key = JSON.stringify([agent.outcome, agent.phase ?? '', why])
    if (!groups.has(key)) groups.set(key, [])
    groups.get(key).push(agent)
  }
  return [...groups].map(([key, agents]) => {
    const [outcome, phase, why] = JSON.parse(key)
    const first = agents[0]
    const who = agents.length === 1 ? first.label || first.id : `${agents.length} agents${phase ? ` of ${phase}` : ''}`
    const text = `${who}: ${outcome.replaceAll('_', ' ')}${why ? `: ${why}` : ''}`
    return need('failed', text, first.finishedAt || first.lastAt, agents.map((agent) => agent.id))
  })
}

// What `counterpoint.verify` had attacked; the skeptics of one claim are queued one after the other.
export function claims(view) {
  const found = []
  for (const agent of view.counted()) {
    const skeptic = SKEPTIC.exec(agent.label)
    if (!skeptic) continue
    if (skeptic[1] === '1' || !found.length) found.push({ text: claimOf(agent), since: agent.queuedAt, votes: new Map() })
    found.at(-1).votes.set(agent.id, voteOf(agent))
  }
  return found
}

export function disputed(claim) {
  const votes = [...claim.votes.values()]
  return votes.includes('refuted') && votes.includes('stands')
}

function claimOf(agent) {
  const prompt = String(agent.prompt?.json ?? '')
  const text = (prompt.split('# Claim\n')[1] ?? '').split('\n\n# ')[0]
  return oneLine(text, 160) || agent.id
}

function voteOf(agent) {
  if (!agent.outcome) return 'open'
  if (!agent.good || !agent.value) return 'dead'
  const refuted = agent.value.json?.refuted
  return refuted === true ? 'refuted' : refuted === false ? 'stands' : 'unknown'
}

function conflicts(view) {
  const found = claims(view).filter(disputed)
  if (found.length > FEW) return [need('conflict', `skeptics disagree about ${found.length} claims`, found[0].since, found.flatMap((claim) => [...claim.votes.keys()]))]
  return found.map((claim) => {
    const against = [...claim.votes.values()].filter((vote) => vote === 'refuted').length
    return need('conflict', `${against} of ${claim.votes.size} refute: ${claim.text}`, claim.since, [...claim.votes.keys()])
  })
}

function held(view, now) {
  const found = [...view.held.values()]
    .filter((each) => each.until > now)
    .map((each) => need('held', `${each.provider} says not now: ${each.message}`, each.until))
  if (view.status === 'paused') found.push(need('held', view.message || 'paused', view.lastAt))
  return found
}

function budget(view) {
  const found = []
  const usage = view.usage()
  const { budget_tokens: tokens, budget_usd: usd } = view.bounds
  if (tokens && usage.output_tokens >= NEARLY * tokens) {
    found.push(need('budget', `${count(usage.output_tokens)} of ${count(tokens)} output tokens are used`, view.lastAt))
  }
  if (usd && usage.usd !== null && usage.usd >= NEARLY * usd) {
    found.push(need('budget', `${money(usage.usd)} of ${money(usd)} are spent`, view.lastAt))
  }
  return found
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function slow(view, now) {
  const took = new Map()
  for (const agent of view.own()) {
    if (agent.outcome !== 'ok') continue
    const phase = agent.phase ?? ''
    if (!took.has(phase)) took.set(phase, [])
    took.get(phase).push(agent.seconds)
  }
  const medians = new Map([...took].filter(([, times]) => times.length >= SLOW_BASIS).map(([k, times]) => [k, median(times)]))
  const found = []
  for (const agent of view.own()) {
    const usual = medians.get(agent.phase ?? '')
    if (usual === undefined || agent.state !== 'running' || agent.startedAt === null) continue
    if (now - agent.startedAt > Math.max(SLOW_LEAST_S, SLOW_TIMES * usual)) {
      const text = `${agent.label || agent.id}: slow, others took ${duration(usual)}`
      found.push(need('slow', text, agent.startedAt, [agent.id]))
    }
  }
  return found
}
