// What dreams propose and a person has to decide: old and new side by side, each quote with the way to where it stands.

import { Part, fill, h, logo } from './dom.js'
import { ago, oneLine, plural } from './text.js'

const DREAMS_MS = 5000
const TIERS = ['more evidence', 'a fact that a program proves', 'tells agents what to do', 'takes something away']
const OPS = { ADD: 'Add a note', REVISE: 'Change a note', SUPERSEDE: 'Replace a note', MERGE: 'Make one of several', RETIRE: 'Retire a note', LINK: 'Link notes' }

export class DreamsPage {
  constructor(root, app) {
    this.app = app
    const list = h('main.list')
    fill(root, h('header.top', null, h('a.brand', { href: '#/' }, logo(), h('span', null, 'Counterpoint')), h('span.slash', null, '/'), h('span.crumb-name', null, 'Dreams'), h('.spring'), app.themeButton(), app.helpButton()), list)
    this.part = new Part(list, (memories, now) => this.build(memories, now))
    document.title = 'Dreams · Counterpoint'
    this.load()
  }

  load() {
    this.app.source.dreams().then((memories) => this.show(memories)).catch((error) => this.app.problem(error))
      .finally(() => (this.timer = this.closed ? 0 : setTimeout(() => this.load(), DREAMS_MS)))
  }

  show(memories) {
    const now = Date.now() / 1000
    if (!this.closed) this.part.show([memories, Math.round(now / 20)], memories, now)
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
  }

  key() {
    return false
  }

  build(memories, now) {
    const waiting = memories.reduce((sum, memory) => sum + memory.waiting.length, 0)
    if (!memories.length) {
      return h('.empty', null, h('h1', null, 'No dreams yet'), h('p', null, 'Have the runs of a project read, in its folder:'), h('pre', null, 'counterpoint dream run --dry-run\ncounterpoint dream run --budget 50k'))
    }
    return h('.runs-page.dreams', null, h('h1', null, 'Dreams'), h('p.calm', null, waiting ? `${plural(waiting, 'proposal')} for you to decide.` : 'Nothing waits.'),
      memories.map((memory) => this.memory(memory, now)))
  }

  memory(memory, now) {
    return h('section', null, h('h2', null, oneLine(memory.folder.replace(/\/\.counterpoint\/memory$/, ''), 90), h('span.badge.quiet', null, `${memory.active} in force`)),
      memory.problem ? h('p.wrong', null, memory.problem) : null,
      memory.waiting.map((proposal) => this.proposal(memory, proposal)),
      h('ul.past', null, memory.dreams.map((dream) => h('li', null, h('details', null,
        h('summary', null, h('code', null, dream.id), ' ', ago(dream.at, now), ' ', h('b', null, dream.status), ` ${dream.message}`),
        h('p.calm', null, `${plural(dream.sessions, 'run')} read. `, Object.entries(dream.runs).map(([stage, run]) => [h('a', { href: `#/run/${encodeURIComponent(run)}` }, stage), ' '])),
        dream.blocked.map((row) => h('p.blocked', null, h('code', null, row.check), ` ${row.reason}: `, h('q', null, row.text))))))))
  }

  proposal(memory, proposal) {
    const decide = (decision, text = '') => this.app.try(this.app.source.decide({ memory: memory.folder, proposal: proposal.id, decision, text })
      .then((answer) => answer.refused.length && this.app.problem({ message: answer.refused[0].reason }))
      .then(() => this.app.source.dreams()).then((memories) => this.show(memories)))
    const note = proposal.new
    const button = (text, act, kind = 'quiet') => h('button', { type: 'button', class: kind, onclick: act }, text)
    return h('article.proposal', { id: proposal.id, 'aria-label': `Proposal ${proposal.id}` },
      h('header', null, h('b', null, OPS[proposal.op] ?? proposal.op), h('span.pill', null, `tier ${proposal.risk}: ${TIERS[proposal.risk]}`),
        proposal.state === 'unverified' ? h('span.pill.status-waiting', null, 'unverified') : null, h('.spring'), h('code', null, proposal.id)),
      h('.sides', null,
        h('.old', null, h('h3', null, 'Now'), proposal.old.length ? proposal.old.map((old) => h('p', null, old.text, ' ', h('code', null, old.id))) : h('p.calm', null, 'nothing')),
        h('.new', null, h('h3', null, 'Then'), note ? [h('p', null, note.text), h('p.calm', null, `${note.kind}, ${note.key}, scope ${note.scope}, confidence ${note.confidence}${note.trigger ? `; ${note.trigger}` : ''}`)] : h('p.calm', null, 'nothing'))),
      h('p', null, h('b', null, 'Why: '), proposal.why, '. ', h('b', null, 'Would be disproved by: '), proposal.would_disprove),
      proposal.evidence.map((proof) => h('blockquote', null, h('pre', null, proof.before, h('mark', null, proof.at || proof.quote), proof.after),
        h('footer', null, `${proof.author}, ${proof.taint}: `, proof.link ? h('a', { href: proof.link }, `${proof.run_id} ${proof.agent ? `${proof.agent}, message ${proof.seq + 1}` : `event ${proof.seq}`}`) : proof.run_id,
          proof.holds ? null : h('span.wrong', null, ` ${proof.problem}`)))),
      proposal.verdicts.filter((verdict) => verdict.result !== 'pass' || verdict.check === 'V6').map((verdict) => h('p.calm', null, `${verdict.check} ${verdict.by}: ${verdict.result}. ${verdict.reason ?? ''}`)),
      proposal.tokens ? h('p.calm', null, `About ${proposal.tokens} tokens of each prompt that it is loaded into.`) : null,
      h('.buttons', null, button('Accept', () => decide('accept'), 'primary'), note ? button('Edit', () => this.edit(note, decide)) : null, button('Reject', () => decide('reject')), button('Never again', () => decide('never'), 'danger')))
  }

  edit(note, decide) {
    const input = h('textarea', { rows: 5, maxlength: 600, required: true, value: note.text })
    this.app.dialog('Accept in your words', [h('label.field', null, h('span.name', null, 'The note'), input)], 'Accept', () => decide('accept', input.value))
  }
}
