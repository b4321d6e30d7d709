// What agents are told of earlier sessions: each note opens to the lines that prove it, and those lead to the run.

import { Part, fill, h, logo } from './dom.js'
import { ago, oneLine, plural } from './text.js'

export class MemoryPage {
  constructor(root, app, { note = '', filter = '' } = {}) {
    Object.assign(this, { app, filter, wanted: note, memories: [], proofs: new Map() })
    const list = h('main.list')
    this.input = h('input.filter', { type: 'search', placeholder: 'Filter notes', 'aria-label': 'Filter notes', spellcheck: 'false', value: filter })
    this.input.addEventListener('input', () => ((this.filter = this.input.value), this.show()))
    fill(root, h('header.top', null, h('a.brand', { href: '#/' }, logo(), h('span', null, 'Counterpoint')), h('span.slash', { 'aria-hidden': 'true' }, '/'), h('span.crumb-name', null, 'Memory'), h('.spring'), this.input, app.themeButton(), app.helpButton()), list)
    this.part = new Part(list, () => this.build())
    document.title = 'Memory · Counterpoint'
    app.source.memory().then((memories) => {
      if (this.closed) return
      this.memories = memories
      this.loaded = true
      this.show()
      document.getElementById(note)?.scrollIntoView({ block: 'center' })
    }).catch((error) => app.problem(error))
  }

  close() {
    this.closed = true
  }

  key(event) {
    if (event.key === '/') return this.input.focus(), true
    return false
  }

  show() {
    this.part.show([this.loaded, this.filter, [...this.proofs.keys()]])
  }

  build() {
    if (!this.loaded) return h('p.calm', null, 'Loading…')
    if (!this.memories.length) {
      return h('.empty', null, h('h1', null, 'No notes yet'), h('p', null, 'Note something in a terminal, or learn from past runs:'), h('pre', null, 'counterpoint memory add "Use pnpm, never npm."\ncounterpoint dream run'))
    }
    return h('.runs-page', null, h('h1', null, 'Memory'), this.memories.map((memory) => this.memory(memory)))
  }

  memory(memory) {
    const sought = this.filter.toLowerCase()
    const fits = (note) => [note.id, note.text, note.key, note.scope, note.kind].some((part) => part.toLowerCase().includes(sought))
    const notes = memory.notes.filter(fits)
    const [active, retired] = [notes.filter((note) => note.status === 'active'), notes.filter((note) => note.status !== 'active')]
    return h('section', null, h('h2', null, memory.owner === 'you' ? 'Yours, in every project' : h('span.path', null, memory.owner), h('span.badge.quiet', null, active.length)),
      memory.problem ? h('p.wrong', null, memory.problem) : h('p.calm', null, 'version ', h('code', null, (memory.version ?? '').slice(0, 12))),
      h('ul.notes', null, active.map((note) => this.note(note))),
      retired.length ? h('details.fold', { open: retired.some((note) => note.id === this.wanted) }, h('summary', null, plural(retired.length, 'retired note')), h('ul.notes', null, retired.map((note) => this.note(note)))) : null)
  }

  note(note) {
    const body = h('.note-body')
    const open = () => {
      if (this.proofs.has(note.id)) return fill(body, this.proofs.get(note.id))
      fill(body, h('p.calm', null, 'Looking up what proves it…'))
      this.app.source.note(note.id).then((found) => {
        this.proofs.set(note.id, proof(note, found))
        fill(body, this.proofs.get(note.id))
      }).catch((error) => fill(body, h('p.wrong', null, error.message)))
    }
    const box = h('details', { ontoggle: () => box.open && open() }, h('summary', null, h('span.kind', null, note.kind), h('b', null, note.text), h('code', null, note.id)), body)
    if (note.id === this.wanted) box.open = true
    return h('li.memory-note', { id: note.id }, box)
  }
}

function proof(note, found) {
  const { utility } = found
  const facts = [`about ${note.key}`, `scope ${note.scope}`, note.trigger ? `when ${note.trigger}` : '', note.user_stated ? 'stated by a person' : '', plural(note.support_sessions, 'session'), `confidence ${note.confidence}`,
    `utility ${utility.mean.toFixed(2)} (told in ${plural(utility.loaded, 'run')}, named in ${utility.cited}, called wrong in ${utility.contradicted})`, note.reason ? `retired: ${note.reason}` : '']
  return [h('p.facts', null, facts.filter(Boolean).map((fact) => oneLine(fact, 160)).join(' · ')),
    h('ul.proofs', null, found.evidence.map((each) => h('li.proof', { class: each.holds ? 'holds' : 'lost' },
      h('p.facts', null, h('b', null, each.against ? 'Against' : 'For'), ` · ${each.author}, ${each.taint} · `, each.link ? h('a', { href: each.link }, `${each.run_id}${each.session_id ? ` ${each.session_id}` : ''}`) : 'in a person’s own words', each.at ? ` · ${ago(each.at, Date.now() / 1000)}` : ''),
      each.holds ? null : h('p.wrong', null, `The quote does not hold any more: ${each.problem}`),
      h('pre.text', { tabindex: '0' }, each.before, h('mark', null, each.quote), each.after)))),
    h('ul.plain', null, found.history.map((step) => h('li', null, `${step.what} by ${oneLine(step.by, 60)}, version `, h('code', null, step.version.slice(0, 12)), ` · ${ago(step.at, Date.now() / 1000)}`)))]
}
