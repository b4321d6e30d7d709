// Where a page has its run from: a server, or the journal inside an exported file. Both answer the same questions.

export class ServerSource {
  constructor() {
    this.canAsk = true
    this.stream = null
  }

  async runs() {
    return (await this.get('/api/runs')).runs
  }

  async dreams() {
    return (await this.get('/api/dreams')).memories
  }

  decide(word) {
    return this.post('/api/dreams', word)
  }

  // Calls `take(events)` with what is new, `live(bool)` and `link(bool)` when they change, until `close`.
  follow(run, { take, live, link }) {
    this.close()
    let last = 0
    let stopped = false
    let retry = 0
    const open = () => {
      const stream = new EventSource(`/api/runs/${encodeURIComponent(run)}/events?after=${last}`)
      this.stream = { close: () => ((stopped = true), clearTimeout(retry), stream.close()) }
      stream.addEventListener('open', () => link(true))
      stream.addEventListener('batch', (message) => {
        const events = JSON.parse(message.data).filter((event) => event.seq > last)
        if (events.length) last = events.at(-1).seq
        take(events)
      })
      stream.addEventListener('live', (message) => live(JSON.parse(message.data).live))
      stream.addEventListener('error', () => {
        link(false)
        if (stopped || stream.readyState !== EventSource.CLOSED) return
        retry = setTimeout(open, 1000)
      })
    }
    open()
  }

  close() {
    this.stream?.close()
    this.stream = null
  }

  agent(run, agent) {
    return this.get(`/api/runs/${encodeURIComponent(run)}/agents/${encodeURIComponent(agent)}`)
  }

  document(run) {
    return this.get(`/api/runs/${encodeURIComponent(run)}`)
  }

  async memory() {
    return (await this.get('/api/memory')).memories
  }

  note(id) {
    return this.get(`/api/memory/${encodeURIComponent(id)}`)
  }

  script(run) {
    return this.get(`/api/runs/${encodeURIComponent(run)}/script`)
  }

  async event(run, seq) {
    return this.get(`/api/runs/${encodeURIComponent(run)}/events/${seq}`)
  }

  ask(run, verb) {
    return this.post(`/api/runs/${encodeURIComponent(run)}/requests`, verb)
  }

  fork(run, asked) {
    return this.post(`/api/runs/${encodeURIComponent(run)}/fork`, asked)
  }

  tag(run, change) {
    return this.post(`/api/runs/${encodeURIComponent(run)}/tags`, change)
  }

  resume(run) {
    return this.post(`/api/runs/${encodeURIComponent(run)}/resume`, {})
  }

  async get(path) {
    return this.answer(await fetch(path))
  }

  async post(path, body) {
    const headers = { 'content-type': 'application/json' }
    return this.answer(await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }))
  }

  async answer(response) {
    const body = await response.json().catch(() => null)
    if (response.ok) return body
    const error = body?.error ?? { message: `The server answered ${response.status}.`, hint: null }
    throw Object.assign(new Error(error.message), { hint: error.hint, status: response.status })
  }
}

export class FileSource {
  constructor(packed) {
    this.canAsk = false
    this.packed = packed
  }

  async open() {
    const bytes = Uint8Array.from(atob(this.packed), (c) => c.charCodeAt(0))
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
    const { events, data } = JSON.parse(await new Response(stream).text())
    this.events = events
    this.data = data
    this.packed = null
    return data.run_id
  }

  async runs() {
    const { document } = this.data
    return [{ run_id: this.data.run_id, name: document.name, status: document.status, created_at: this.events[0].at, cwd: '', tags: document.tags, parent: null }]
  }

  follow(run, { take, live }) {
    take(this.events)
    live(false)
  }

  close() {}

  async agent(run, agent) {
    return this.data.agents[agent]
  }

  async document() {
    return this.data.document
  }

  async script() {
    return this.data.script
  }

  async event(run, seq) {
    return this.events[seq - 1]
  }
}
