// What a workflow script sees. Evaluated once in each child, far below the script's own lines (BASE), so that a stack
// frame tells whose it is. Nothing here trusts the script: all that is used later is taken from the realm now.
// Evaluates to the functions that the child calls; none of them is ever reachable from the script.
(function () {
  'use strict'
  const BASE = 1000000
  const uncurry = (f) => Function.prototype.call.bind(f)
  const { stringify, parse } = JSON
  const { defineProperty, freeze, keys, getPrototypeOf, getOwnPropertyDescriptor } = Object
  const P = Promise, E = Error, TE = TypeError, RE = ReferenceError, SE = SyntaxError, RangeE = RangeError, D = Date
  const isArray = Array.isArray, S = String, evaluate = eval, construct = Reflect.construct
  const all = P.all.bind(P), rejected = P.reject.bind(P), isFinite_ = Number.isFinite
  const then = uncurry(P.prototype.then), join = uncurry(Array.prototype.join), exec = uncurry(RegExp.prototype.exec)
  const mapGet = uncurry(Map.prototype.get), mapSet = uncurry(Map.prototype.set), mapDelete = uncurry(Map.prototype.delete)
  const weakGet = uncurry(WeakMap.prototype.get), weakSet = uncurry(WeakMap.prototype.set)
  const setHas = uncurry(Set.prototype.has), setAdd = uncurry(Set.prototype.add), setDelete = uncurry(Set.prototype.delete)
  const slice = uncurry(String.prototype.slice), sort = uncurry(Array.prototype.sort)
  const G = globalThis
  E.stackTraceLimit = 12

  // Own elements only: an index setter that a script puts on Array.prototype must not see what we push.
  const push = (list, value) => { defineProperty(list, list.length, { value, writable: true, enumerable: true, configurable: true }) }
  const hide = (object, name, value) => { defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true }) }
  const fixed = (object, name, value) => { defineProperty(object, name, { value, writable: false, enumerable: false, configurable: false }) }

  // --- what goes out, and what waits -----------------------------------------------------------------------------
  const pending = new Map(), byResult = new WeakMap(), byText = new Map()
  let out = [], number = 0, done = null, now = 0, started = 0, spent = 0, usd = 0, strict = false, maxItems = 4096
  let total = null, usdTotal = null, phaseOfScript = null
  const shares = new Map()

  // A frame's place in the script: the wrapper's one line is taken off, and the engine's columns, which count bytes,
  // become UTF-16 units where the script (its `lines`) is not plain ASCII.
  const frames = /at (?:(.*?) \()?<input>:(\d+):(\d+)/g
  let lines = null
  const column = (line, bytes) => {
    const source = lines === null ? undefined : lines[line - 1]
    if (source === undefined) return bytes
    let units = 0
    for (let used = 1; used < bytes && units < source.length; units++) {
      const c = codeAt(source, units)
      used += c < 0x80 ? 1 : c < 0x800 ? 2 : c >= 0xd800 && c < 0xdc00 ? 4 : 3
      if (c >= 0xd800 && c < 0xdc00) units++
    }
    return units + 1
  }
  const codeAt = uncurry(String.prototype.charCodeAt)
  const trace = (stack) => {
    const found = []
    frames.lastIndex = 0
    for (let m; (m = exec(frames, stack)) !== null;) {
      const line = +m[2] - 1
      if (line >= 1 && line < BASE - 1) push(found, [line, column(line, +m[3]), m[1] || '<script>'])
    }
    return found
  }
  const place = (stack) => trace(stack)[0] ?? [null, null]
  const send = (id, op, json, w, at) => {
    push(out, `{"id":${id},"op":"${op}","arg":${json}${w ? `,"w":${w}` : ''}${at && at[0] ? `,"line":${at[0]},"column":${at[1]}` : ''}}`)
  }
  const note = (op, value, w) => send(0, op, stringify(value), w)
  const call = (op, json, w, opened) => {
    const at = place(new E().stack)
    return new P((resolve, reject) => {
      const id = ++number
      mapSet(pending, id, { resolve, reject, at, w })
      if (opened) opened(id)
      send(id, op, json, w, at)
    })
  }
  const encode = (value, what) => {
    let json
    try { json = stringify(value) } catch (e) { throw new TE(`${what} cannot be turned into JSON: ${text(e && e.message)}`) }
    return json
  }
  const text = (value) => { try { return typeof value === 'string' ? value : S(value) } catch { return '[unprintable]' } }

  // --- errors ------------------------------------------------------------------------------------------------------
  const describe = (e) => {
    let name = 'Error', message = '', stack = ''
    try {
      if (e !== null && typeof e === 'object') { name = text(e.name ?? 'Error'); message = text(e.message ?? stringify(e)); stack = text(e.stack ?? '') }
      else message = text(e)
    } catch { message = '[an error that cannot be read]' }
    const shown = [], own = trace(stack)
    for (let i = 0; i < own.length; i++) push(shown, `at ${slice(own[i][2], 0, 100)} (${own[i][0]}:${own[i][1]})`)
    const [line, column] = own[0] ?? [null, null]
    return { name: slice(name, 0, 200), message: slice(message, 0, 20000), line, column, stack: join(shown, '\n') }
  }
  const hostError = (value, at) => {
    const e = new E(value.message)
    for (const name of keys(value)) if (name !== 'message') hide(e, name, value[name])
    hide(e, 'stack', at[0] ? `    at <script> (<input>:${at[0] + 1}:${at[1]})\n` : '')
    return e
  }
  const scriptMistake = (e) => e instanceof TE || e instanceof RE || e instanceof SE
  const slotFailed = (e, w, hook, index, stage) => {
    const fault = describe(e)
    if (scriptMistake(e)) {
      note('script_error', { fault, hook, index }, w)
      if (strict) fail(e)
    }
    note('slot_failed', stage === undefined ? { hook, index, fault } : { hook, index, stage, fault }, w)
  }
  const fail = (e) => { if (done === null) done = stringify({ ok: false, error: describe(e) }) }

  // --- values that leave -------------------------------------------------------------------------------------------
  // A copy of plain data by the rules of JSON, but what JSON would drop or refuse without a word is an error with its path.
  const plain = (value, path, above) => {
    if (value !== null && (typeof value === 'object' || typeof value === 'bigint') && typeof value.toJSON === 'function') value = value.toJSON('')
    if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
    if (typeof value === 'number') return isFinite_(value) ? value : null
    if (value === undefined) return undefined
    if (typeof value !== 'object') throw new TE(`${path} is a ${typeof value}: a workflow returns JSON`)
    if (value instanceof Number || value instanceof String || value instanceof Boolean) return plain(value.valueOf(), path, above)
    if (setHas(above, value)) throw new TE(`${path} refers back to a value that contains it: a workflow returns JSON`)
    setAdd(above, value)
    let copy
    if (isArray(value)) {
      copy = []
      for (let i = 0; i < value.length; i++) push(copy, plain(value[i], `${path}[${i}]`, above) ?? null)
    } else {
      copy = {}
      for (const key of keys(value)) {
        const member = plain(value[key], exec(/^[A-Za-z_$][\w$]*$/, key) ? `${path}.${key}` : `${path}[${stringify(key)}]`, above)
        if (member !== undefined) defineProperty(copy, key, { value: member, enumerable: true, writable: true, configurable: true })
      }
    }
    setDelete(above, value)
    return copy
  }
  const resultJson = (value) => {
    try { return stringify(plain(value, 'result', new Set()) ?? null) } catch (e) {
      throw e instanceof RangeE ? new TE('the result is nested too deeply to be JSON') : e
    }
  }

  // --- hooks of one script (the run's own, or a child workflow's) -----------------------------------------------------
  const KNOWN = ['label', 'phase', 'schema', 'model', 'effort', 'isolation', 'agentType', 'disallowedTools', 'stallMs',
    'tools', 'cwd', 'timeoutMs', 'maxTurns', 'retries', 'from', 'key']
  const known = new Set(KNOWN), told = new Set()
  const distance = (a, b) => {
    let row = []
    for (let j = 0; j <= b.length; j++) push(row, j)
    for (let i = 1; i <= a.length; i++) {
      const next = [i]
      for (let j = 1; j <= b.length; j++) push(next, Math_min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
      row = next
    }
    return row[b.length]
  }
  const Math_min = Math.min
  const nearest = (name) => {
    let best = null, least = 4
    for (const option of KNOWN) { const d = distance(text(name).toLowerCase(), option.toLowerCase()); if (d < least) { least = d; best = option } }
    return best
  }
  const warn = (message, w) => note('log', { text: message, level: 'warning', origin: 'runtime' }, w)
  const checkOptions = (opts, w) => {
    for (const name of keys(opts)) {
      if (setHas(known, name) || opts[name] === undefined || setHas(told, name)) continue
      setAdd(told, name)
      const near = nearest(slice(name, 0, 40))
      warn(`agent(): unknown option '${slice(name, 0, 80)}'${near ? `; did you mean '${near}'?` : ''} It is ignored.`, w)
    }
  }
  const promptText = (prompt, w) => {
    if (typeof prompt === 'string') return prompt
    warn(`agent(): the prompt is ${prompt === null ? 'null' : isArray(prompt) ? 'an array' : typeof prompt}, not a string; it was turned into one.`, w)
    if (prompt === undefined) return ''
    return typeof prompt === 'object' ? encode(prompt, 'the prompt') ?? '' : text(prompt)
  }
  const remember = (id, value) => {
    if (value !== null && typeof value === 'object') weakSet(byResult, value, id)
    else if (typeof value === 'string') mapSet(byText, value, id)
  }

  const scope = (w, args) => {
    let phaseNow = null
    const agent = (prompt, opts) => {
      try {
        const options = opts !== null && typeof opts === 'object' ? opts : {}
        checkOptions(options, w)
        const phase = options.phase === undefined || options.phase === null ? phaseNow : text(options.phase)
        return call('agent', encode({ prompt: promptText(prompt, w), opts: options, phase }, 'the options of agent()'), w)
      } catch (e) { return rejected(e) }
    }
    const parallel = async (thunks) => {
      if (!isArray(thunks)) throw new TE('parallel() takes an array of functions: [() => agent(…), …]')
      if (thunks.length > maxItems) throw new RangeE(`parallel() got ${thunks.length} items; at most ${maxItems} (max_items)`)
      for (let i = 0; i < thunks.length; i++) {
        if (typeof thunks[i] === 'function') continue
        const promise = thunks[i] !== null && typeof thunks[i] === 'object' && typeof thunks[i].then === 'function'
        throw new TE(`parallel() takes functions: () => agent(…). Item ${i} is ${promise ? 'a promise: its agent has already been started' : thunks[i] === null ? 'null' : typeof thunks[i]}.`)
      }
      const slots = []
      for (let i = 0; i < thunks.length; i++) push(slots, (async () => { try { return await (0, thunks[i])() } catch (e) { slotFailed(e, w, 'parallel', i); return null } })())
      return await all(slots)
    }
    const pipeline = async (items, ...stages) => {
      items = await items
      if (!isArray(items)) throw new TE('pipeline() takes an array of items, then functions: pipeline(items, (item) => agent(…))')
      if (items.length > maxItems) throw new RangeE(`pipeline() got ${items.length} items; at most ${maxItems} (max_items)`)
      if (!stages.length) throw new TE('pipeline() takes at least one stage: pipeline(items, (item) => agent(…))')
      for (let k = 0; k < stages.length; k++) if (typeof stages[k] !== 'function') throw new TE(`pipeline() takes functions as stages; stage ${k + 1} is ${typeof stages[k]}`)
      const flow = async (item, i) => {
        let value = item
        for (let k = 0; k < stages.length; k++) {
          try { value = await (0, stages[k])(value, item, i) } catch (e) { slotFailed(e, w, 'pipeline', i, k + 1); return null }
          if (value === null) return null
        }
        return value
      }
      const slots = []
      for (let i = 0; i < items.length; i++) push(slots, flow(items[i], i))
      return await all(slots)
    }
    const phase = (title) => { phaseNow = text(title); if (!w) phaseOfScript = phaseNow; note('phase', { title: phaseNow }, w) }
    const print = (level) => (...parts) => {
      const words = []
      for (let i = 0; i < parts.length; i++) push(words, show(parts[i]))
      note('log', level === 'info' ? { text: join(words, ' ') } : { text: join(words, ' '), level }, w)
    }
    const log = print('info')
    const workflow = (ref, childArgs) => {
      try {
        const argsJson = childArgs === undefined ? undefined : encode(childArgs, 'the arguments of workflow()')
        return call('workflow', `{"ref":${encode(ref, 'the reference of workflow()') ?? 'null'}${argsJson === undefined ? '' : `,"args":${argsJson}`}}`, w)
      } catch (e) { return rejected(e) }
    }
    const console = freeze({ log: print('info'), info: print('info'), debug: print('info'), warn: print('warning'), error: print('error') })
    return { agent, parallel, pipeline, phase, log, workflow, args, budget, counterpoint: extras(w), console }
  }
  const show = (value) => {
    if (typeof value === 'string') return value
    try { if (value instanceof E) return text(value.stack ? `${value.name}: ${value.message}` : value) } catch { return '[unprintable]' }
    try { return stringify(value) ?? text(value) } catch { return text(value) }
  }

  // What an agent called now may still use: earlier phases leave the later ones their reserve (see runtime/budget.py).
  const left = (limit, used) => {
    if (limit === null) return Infinity
    const share = mapGet(shares, phaseOfScript) ?? 1
    return limit * share > used ? Math.floor((limit * share - used) * 1e6) / 1e6 : 0
  }
  const tokens = freeze({ get total() { return total }, spent: () => spent, remaining: () => left(total, spent) })
  const money = freeze({ get total() { return usdTotal }, spent: () => usd, remaining: () => left(usdTotal, usd) })
  const budget = tokens

  // --- the one global of ours ----------------------------------------------------------------------------------------
  let run = null
  const extras = (w) => freeze({
    budget: freeze({ usd: money, tokens }),
    now: () => now,
    hash: (value) => sha256(canonical(plain(value, 'value', new Set()) ?? null)),
    get run() { return run },
    tool: (name, input) => { try { return call('tool', encode({ name: text(name), input: input ?? {} }, 'the input of tool()'), w) } catch (e) { return rejected(e) } },
    checkpoint: (question, options) => {
      try { return call('checkpoint', encode({ ...(options ?? {}), question: text(question) }, 'the options of checkpoint()'), w) } catch (e) { return rejected(e) }
    },
    fail: (result, reason) => {
      const id = result !== null && typeof result === 'object' ? weakGet(byResult, result) : mapGet(byText, result)
      note('mark', { call: id ?? null, label: typeof result === 'string' ? slice(result, 0, 500) : null, reason: text(reason ?? '') }, w)
    },
  })
  const canonical = (value) => {
    if (value === null || typeof value !== 'object') return stringify(value)
    const parts = []
    if (isArray(value)) { for (let i = 0; i < value.length; i++) push(parts, canonical(value[i])); return `[${join(parts, ',')}]` }
    const names = sort(keys(value))
    for (let i = 0; i < names.length; i++) push(parts, `${stringify(names[i])}:${canonical(value[names[i]])}`)
    return `{${join(parts, ',')}}`
  }

  // SHA-256 (FIPS 180-4), over the UTF-8 of a text.
  const ROUNDS = (() => {
    const primes = []
    for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n)
    const fraction = (x) => Math.floor((x - Math.floor(x)) * 4294967296) | 0
    return { k: Int32Array.from(primes, (p) => fraction(Math.cbrt(p))), h: Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p))) }
  })()
  const utf8 = (string) => {
    const bytes = []
    for (let i = 0; i < string.length; i++) {
      let c = string.charCodeAt(i)
      if (c >= 0xd800 && c < 0xdc00 && i + 1 < string.length) {
        const d = string.charCodeAt(i + 1)
        if (d >= 0xdc00 && d < 0xe000) { c = 0x10000 + ((c - 0xd800) << 10) + (d - 0xdc00); i++ }
      }
      if (c >= 0xd800 && c < 0xe000) c = 0xfffd
      if (c < 0x80) push(bytes, c)
      else {
        if (c < 0x800) push(bytes, 0xc0 | (c >> 6))
        else {
          if (c < 0x10000) push(bytes, 0xe0 | (c >> 12))
          else { push(bytes, 0xf0 | (c >> 18)); push(bytes, 0x80 | ((c >> 12) & 63)) }
          push(bytes, 0x80 | ((c >> 6) & 63))
        }
        push(bytes, 0x80 | (c & 63))
      }
    }
    return bytes
  }
  const sha256 = (string) => {
    const data = utf8(string), length = data.length
    push(data, 0x80)
    while (data.length % 64 !== 56) push(data, 0)
    for (let shift = 7; shift >= 0; shift--) push(data, Math.floor((length * 8) / 2 ** (shift * 8)) & 255)
    const h = new Int32Array(ROUNDS.h), v = new Int32Array(64)
    const rotate = (x, n) => (x >>> n) | (x << (32 - n))
    for (let o = 0; o < data.length; o += 64) {
      for (let i = 0; i < 16; i++) v[i] = (data[o + 4 * i] << 24) | (data[o + 4 * i + 1] << 16) | (data[o + 4 * i + 2] << 8) | data[o + 4 * i + 3]
      for (let i = 16; i < 64; i++) {
        const a = v[i - 15], b = v[i - 2]
        v[i] = v[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3)) + v[i - 7] + (rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10))
      }
      let [a, b, c, d, e, f, g, k] = h
      for (let i = 0; i < 64; i++) {
        const one = (k + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS.k[i] + v[i]) | 0
        const two = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
        k = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0
      }
      h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += k
    }
    const hex = []
    for (let i = 0; i < 8; i++) push(hex, (h[i] >>> 0).toString(16).padStart(8, '0'))
    return join(hex, '')
  }

  // --- time and chance: recorded, so that a replay sees the same -----------------------------------------------------
  const clock = function Date(...parts) {
    if (!new.target) return new D(now).toString()
    return construct(D, parts.length ? parts : [now], new.target === clock ? D : new.target)
  }
  clock.prototype = D.prototype
  for (const name of ['UTC', 'parse']) hide(clock, name, D[name])
  hide(clock, 'now', () => Math.floor(now))
  hide(D.prototype, 'constructor', clock)
  hide(G, 'Date', clock)
  hide(G, 'performance', freeze({ now: () => now - started, get timeOrigin() { return started } }))
  const generator = (seed) => {
    let a = seed >>> 0, b = Math.floor(seed / 4294967296) >>> 0, c = 0x9e3779b9, d = 1
    const next = () => {
      const t = (a + b + d) | 0
      d = (d + 1) | 0; a = b ^ (b >>> 9); b = (c + (c << 3)) | 0; c = ((c << 21) | (c >>> 11)) + t | 0
      return t >>> 0
    }
    for (let i = 0; i < 16; i++) next()
    return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992
  }

  const setTimeout = (callback, ms, ...parts) => {
    let id = 0
    const delay = Number(ms)
    const timer = call('timer', stringify({ ms: delay > 0 && isFinite_(delay) ? delay : 0 }), 0, (n) => { id = n })
    const due = then(timer, () => { if (typeof callback === 'function') callback(...parts) })
    then(due, undefined, (e) => warn(`setTimeout(): the callback threw ${describe(e).name}: ${describe(e).message}`, 0))
    return id
  }
  const clearTimeout = (id) => { if (mapGet(pending, id)) { mapDelete(pending, id); send(0, 'clear', stringify(id), 0) } }
  hide(G, 'setTimeout', setTimeout)
  hide(G, 'clearTimeout', clearTimeout)
  hide(G, 'queueMicrotask', (callback) => {
    if (typeof callback !== 'function') throw new TE('queueMicrotask() takes a function')
    then(P.resolve(), () => callback())
  })
  const grouped = uncurry(Number.prototype.toString)
  hide(Number.prototype, 'toLocaleString', function () {
    const [whole, fraction] = grouped(Math.round(Math.abs(this) * 1000) / 1000).split('.')
    return (this < 0 ? '-' : '') + whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',') + (fraction ? `.${fraction}` : '')
  })

  // --- no code from text, nothing that sees the machine ---------------------------------------------------------------
  class EvalRefused extends EvalError {}
  hide(EvalRefused.prototype, 'name', 'EvalError')
  const refuse = function () { throw new EvalRefused('eval and new Function are not available in a workflow script') }
  refuse.prototype = getPrototypeOf(refuse)
  for (const f of [function () {}, async function () {}, function* () {}, async function* () {}]) fixed(getPrototypeOf(f), 'constructor', refuse)
  fixed(G, 'eval', refuse)
  fixed(G, 'Function', refuse)
  for (const name of ['WeakRef', 'FinalizationRegistry', 'Atomics', 'SharedArrayBuffer', 'WebAssembly', 'gc', 'std', 'os', 'bjson', 'print', 'scriptArgs', 'navigator', 'DOMException']) delete G[name]

  // --- what the child calls -------------------------------------------------------------------------------------------
  const NAMES = ['agent', 'parallel', 'pipeline', 'phase', 'log', 'workflow', 'args', 'budget', 'console', 'counterpoint']
  let portable = false
  const names = () => portable ? NAMES.slice(0, -1) : NAMES
  const head = () => `((${join(names(), ', ')}) => async () => {"use strict";\n`
  const enter = (script, hooks) => {
    const values = []
    for (const name of names()) push(values, hooks[name])
    return script(...values)()
  }
  const configure = (json) => {
    const init = parse(json)
    lines = init.lines
    now = started = init.at; total = init.budget_total; usdTotal = init.usd_total
    for (const title of keys(init.shares)) mapSet(shares, title, init.shares[title])
    strict = init.strict; portable = init.portable; maxItems = init.max_items; run = freeze(init.run)
    hide(Math, 'random', generator(init.seed))
    return head()
  }
  const start = (script, json) => {
    const hooks = scope(0, json === null ? undefined : parse(json))
    for (const name of names()) if (name !== 'args' || json !== null) hide(G, name, hooks[name])
    const finish = (value) => { try { done ??= `{"ok":true,"value":${resultJson(value)}}` } catch (e) { fail(e) } }
    try { then(enter(script, hooks), finish, fail) } catch (e) { fail(e) }
  }
  const load = (id, child) => {
    const ended = (ok, body) => { push(out, `{"id":0,"op":"workflow_done","arg":{"id":${id},"ok":${ok},${body}}}`) }
    const failed = (e) => ended(false, `"error":${stringify(describe(e))}`)
    try {
      const script = evaluate(`${head()}${child.script}\n})`)
      then(enter(script, scope(id, child.args)), (value) => { try { ended(true, `"value":${resultJson(value)}`) } catch (e) { failed(e) } }, failed)
    } catch (e) { failed(e) }
  }
  let batch = [], position = 0
  const feed = (json) => { batch = parse(json); position = 0 }
  const step = () => {
    if (position >= batch.length) { batch = []; return false }
    const { id, ok, at, spent: tokensSpent, usd: moneySpent, load: loads, value } = batch[position++]
    now = at
    if (!loads) { spent = tokensSpent; usd = moneySpent }
    const waiting = mapGet(pending, id)
    if (loads) load(id, value)
    else if (waiting) {
      mapDelete(pending, id)
      if (ok) { remember(id, value); waiting.resolve(value) } else waiting.reject(hostError(value, waiting.at))
    }
    return true
  }
  const drain = () => {
    const lines = out
    out = []
    return join(lines, '\n')
  }
  const outcome = () => done ?? 'null'
  return [configure, start, feed, step, drain, outcome]
})()
