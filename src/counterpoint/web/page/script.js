// The script beside its agents: which lines are at work, and what the finished ones took.

import { h } from './dom.js'
import { count, duration } from './text.js'

const TOKENS = /(\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(`(?:\\[\s\S]|[^`\\])*`|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|\b(agent|parallel|pipeline|phase|log|workflow|counterpoint|args|budget|meta)\b|\b(const|let|var|function|async|await|return|if|else|for|of|in|while|do|switch|case|break|continue|new|try|catch|finally|throw|class|export|default|true|false|null|undefined|typeof)\b|\b(\d[\d_.]*)\b/g
const KINDS = ['comment', 'string', 'hook', 'word', 'number']

// Lines of the source, each a list of [kind, text].
export function highlight(source) {
  const rows = [[]]
  const put = (kind, text) => {
    text.split('\n').forEach((part, n) => {
      if (n) rows.push([])
      if (part) rows.at(-1).push([kind, part])
    })
  }
  let last = 0
  for (const match of source.matchAll(TOKENS)) {
    if (match.index > last) put('', source.slice(last, match.index))
    put(KINDS[match.slice(1).findIndex((group) => group !== undefined)], match[0])
    last = match.index + match[0].length
  }
  put('', source.slice(last))
  return rows
}

// Of each line that called agents: how many are at work, wait, ended well or not, and what they took.
export function lineFacts(view) {
  const facts = new Map()
  for (const agent of view.own()) {
    if (agent.line === null || agent.workflow !== null) continue
    if (!facts.has(agent.line)) facts.set(agent.line, { running: 0, queued: 0, good: 0, bad: 0, seconds: 0, tokens: 0, agents: [] })
    const fact = facts.get(agent.line)
    if (agent.state === 'running') fact.running += 1
    else if (agent.state === 'queued') fact.queued += 1
    else if (agent.good) fact.good += 1
    else fact.bad += 1
    fact.seconds += agent.seconds
    fact.tokens += agent.usage.output_tokens
    fact.agents.push(agent.id)
  }
  return facts
}

export class ScriptPane {
  constructor(node, choose) {
    this.node = node
    this.choose = choose
    this.rows = null
  }

  load(source) {
    const rows = highlight(source).slice(0, 20_000)
    this.rows = rows.map((tokens, n) => {
      const fact = h('span.fact')
      const code = h('code', null, tokens.map(([kind, text]) => (kind ? h(`span.t-${kind}`, null, text) : text)))
      return { fact, node: h('.line', null, h('span.number', { 'aria-hidden': 'true' }, n + 1), code, fact) }
    })
    this.node.replaceChildren(h('.code', null, this.rows.map((row) => row.node)))
  }

  show(view) {
    if (!this.rows) return
    const facts = lineFacts(view)
    this.rows.forEach((row, n) => {
      const fact = facts.get(n + 1)
      const text = fact ? describe(fact) : ''
      if (row.text === text) return
      row.text = text
      row.node.classList.toggle('at-work', Boolean(fact?.running))
      row.fact.replaceChildren(...(fact ? [h('button.link', { type: 'button', onclick: () => this.choose(n + 1) }, text)] : []))
    })
  }
}

function describe(fact) {
  const parts = [[fact.running, '▶'], [fact.queued, '·'], [fact.good, '✓'], [fact.bad, '✗']]
  const states = parts.filter(([n]) => n).map(([n, sign]) => `${sign}${n}`)
  if (fact.seconds) states.push(duration(fact.seconds), `${count(fact.tokens)} tok`)
  return states.join('  ')
}
