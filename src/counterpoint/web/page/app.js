// The page: the list of runs, or one run. A further screen is a file with a class that has `close` and `key`, and a line
// in `open` below.

import { fill, h } from './dom.js'
import { needs } from './attention.js'
import { DreamsPage } from './dreams.js'
import { MemoryPage } from './memory.js'
import { RunPage } from './run.js'
import { outline } from './tree.js'
import { RunsPage } from './runs.js'
import { FileSource, ServerSource } from './source.js'

const STALE_SESSION = 'Your session is over. Open the address that `counterpoint serve` shows in its terminal.'
const KEYS = [
  ['j k ↓ ↑', 'next, previous agent'], ['Esc', 'back to the run'], ['1 … 8', 'timeline, matrix, agents, script, log, verdicts, cost, tree'], ['/', 'filter: state:failed phase:find cost>0.2 text'],
  ['← →', 'one event back, forth (Shift: 100)'], ['Space', 'play the history'], ['l', 'newest event'], ['F', 'a new run from the point that is shown'], ['+ − 0', 'zoom the timeline'], ['Shift + drag', 'zoom to a stretch'],
  ['m M', 'mark the agent, all that the filter keeps: s r x are for all that are marked'], ['s S', 'steer the agent, all agents'], ['r', 'run the agent again'], ['x', 'skip the agent'], ['p', 'pause, continue'], ['X', 'stop the run'], ['b', 'change the ceilings'], ['A D', 'go to the question: answer, deny'], ['y', 'copy the id'],
]

class App {
  constructor(root, source) {
    this.root = root
    this.source = source
    this.page = null
    this.banner = h('.problem', { role: 'alert', hidden: true })
    document.body.append(this.banner)
    this.setTheme(stored('theme') ?? 'auto')
    window.addEventListener('hashchange', () => this.open())
    window.addEventListener('keydown', (event) => this.key(event))
    this.open()
  }

  open() {
    const [path, query = ''] = location.hash.replace(/^#/, '').split('?')
    const [, kind, id] = path.split('/')
    this.page?.close()
    this.banner.hidden = true
    const link = Object.fromEntries(new URLSearchParams(query))
    if (kind === 'dreams' && this.source.canAsk) return (this.page = new DreamsPage(this.root, this))
    if (kind === 'memory' && this.source.canAsk) return (this.page = new MemoryPage(this.root, this, link))
    if (kind !== 'run' || !id) return (this.page = new RunsPage(this.root, this, link))
    const seq = Number.parseInt(link.seq, 10)
    return (this.page = new RunPage(this.root, this, decodeURIComponent(id), { ...link, seq: Number.isFinite(seq) ? seq : null }))
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return
    const target = event.target
    if (target instanceof HTMLElement && target.matches('input, textarea, select')) {
      if (event.key === 'Escape' || (target.type === 'range' && event.key === ' ')) target.blur()
      else return
    }
    if (event.key === ' ' && target instanceof HTMLElement && target.matches('button, a, summary')) return
    if (event.key === '?') this.help()
    else if (!this.page?.key(event)) return
    event.preventDefault()
  }

  try(promise) {
    return promise.catch((error) => this.problem(error))
  }

  problem(error) {
    if (this.closed) return
    const text = error.status === 401 ? STALE_SESSION : error.message + (error.hint ? ` ${error.hint}` : '')
    fill(this.banner, h('span', null, text), h('button.icon', { type: 'button', 'aria-label': 'Close', onclick: () => (this.banner.hidden = true) }, '×'))
    this.banner.hidden = false
  }

  // `act` may be asynchronous; where it gives false, the dialog stays open.
  dialog(title, body, verb, act, dangerous = false) {
    const close = () => (box.close(), box.remove())
    const send = async (event) => {
      event.preventDefault()
      if ((await act()) !== false) close()
    }
    const box = h('dialog', { 'aria-label': title, onclose: () => box.remove() }, h('form', { onsubmit: send }, h('h2', null, title), body,
      h('.buttons', null, h('button', { type: 'submit', class: dangerous ? 'danger' : 'primary' }, verb), h('button.quiet', { type: 'button', onclick: close }, 'Cancel'))))
    document.body.append(box)
    box.showModal()
  }

  help() {
    this.dialog('Keys', [h('table.pairs.keys', null, h('tbody', null, KEYS.map(([key, what]) => h('tr', null, h('th', { scope: 'row' }, h('kbd', null, key)), h('td', null, what)))))], 'Good', () => null)
  }

  helpButton() {
    return h('button.icon', { type: 'button', title: 'Keys (?)', 'aria-label': 'Help', onclick: () => this.help() }, '?')
  }

  themeButton() {
    return h('button.icon', { type: 'button', title: 'Dark, light, or as the system has it', 'aria-label': 'Theme', onclick: () => this.setTheme({ auto: 'dark', dark: 'light', light: 'auto' }[document.documentElement.dataset.theme]) }, '◑')
  }

  setTheme(theme) {
    document.documentElement.dataset.theme = theme
    try {
      localStorage.setItem('theme', theme)
    } catch {
      // a file opened from disk may have no storage; the theme then lasts as long as the page
    }
    this.page?.dirty?.()
  }
}

function stored(name) {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

async function start() {
  const root = document.getElementById('app')
  const packed = document.getElementById('packed')
  let source = new ServerSource()
  if (packed) {
    source = new FileSource(packed.textContent)
    packed.remove()
    const run = await source.open()
    if (!location.hash.startsWith('#/run/')) history.replaceState(null, '', `#/run/${run}`)
  }
  const app = new App(root, source)
  // For scripts and tests: what the page says of the run, as JSON.
  window.counterpoint = {
    document: () => app.page.shown().view.document(),
    events: () => app.page.history.events,
    outline: () => outline(app.page.shown().view).map((row) => [row.depth, row.kind, row.title, row.agents.map((agent) => agent.id), row.line]),
    needs: () => needs(app.page.shown().view, app.page.shown().now),
    bars: () => [...app.page.history.timeline.lanes.values()].map((lane) => [lane.id, lane.doing, lane.bars.map((bar) => [bar.kind, bar.start, bar.end, bar.label])]),
    get ready() {
      return app.page?.history ? app.page.history.events.length : 0
    },
    get seq() {
      return app.page?.state?.seq ?? app.page?.history?.events.length ?? 0
    },
    get live() {
      return app.page?.live ?? null
    },
  }
}

start()
