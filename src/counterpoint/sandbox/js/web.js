// Small web standards that scripts use and QuickJS lacks: structuredClone, TextEncoder, atob, URL. No I/O in any of them.
(function () {
  'use strict'
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true })
  class DataCloneError extends Error { get name() { return 'DataCloneError' } }

  const VIEWS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView]
  const clone = (value, seen) => {
    if (typeof value === 'function' || typeof value === 'symbol') throw new DataCloneError(`a ${typeof value} could not be cloned`)
    if (value === null || typeof value !== 'object') return value
    if (seen.has(value)) return seen.get(value)
    const keep = (copy) => { seen.set(value, copy); return copy }
    if (value instanceof Date) return keep(new Date(value.getTime()))
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags))
    if (value instanceof Number || value instanceof String || value instanceof Boolean) return keep(Object(value.valueOf()))
    if (value instanceof ArrayBuffer) return keep(value.slice(0))
    for (const View of VIEWS) {
      if (!(value instanceof View)) continue
      return keep(new View(clone(value.buffer, seen), value.byteOffset, View === DataView ? value.byteLength : value.length))
    }
    if (value instanceof Map) { const copy = keep(new Map()); for (const [k, v] of value) copy.set(clone(k, seen), clone(v, seen)); return copy }
    if (value instanceof Set) { const copy = keep(new Set()); for (const v of value) copy.add(clone(v, seen)); return copy }
    if (value instanceof Error) {
      const copy = keep(new ({ EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }[value.name] ?? Error)(value.message))
      Object.defineProperty(copy, 'stack', { value: String(value.stack), writable: true, configurable: true })
      if ('cause' in value) copy.cause = clone(value.cause, seen)
      return copy
    }
    if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet) throw new DataCloneError('this object could not be cloned')
    const copy = keep(Array.isArray(value) ? new Array(value.length) : {})
    for (const key of Object.keys(value)) Object.defineProperty(copy, key, { value: clone(value[key], seen), writable: true, enumerable: true, configurable: true })
    return copy
  }
  define('structuredClone', function structuredClone(value) {
    if (!arguments.length) throw new TypeError('structuredClone() takes a value')
    return clone(value, new Map())
  })

  class TextEncoder {
    get encoding() { return 'utf-8' }
    encode(input = '') {
      const escaped = encodeURIComponent(String(input).toWellFormed())
      const bytes = []
      for (let i = 0; i < escaped.length; i++) {
        if (escaped[i] === '%') { bytes.push(parseInt(escaped.slice(i + 1, i + 3), 16)); i += 2 } else bytes.push(escaped.charCodeAt(i))
      }
      return Uint8Array.from(bytes)
    }
    encodeInto(input, target) {
      let read = 0, written = 0
      for (const character of String(input)) {
        const bytes = this.encode(character)
        if (written + bytes.length > target.length) break
        target.set(bytes, written)
        written += bytes.length
        read += character.length
      }
      return { read, written }
    }
  }
  class TextDecoder {
    #fatal
    #ignoreBOM
    #held = []
    #begun = false
    constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
      if (!/^(utf-?8|unicode-1-1-utf-8)$/i.test(String(label).trim())) throw new RangeError(`TextDecoder: only utf-8 is available, not '${label}'`)
      this.#fatal = fatal
      this.#ignoreBOM = ignoreBOM
    }
    get encoding() { return 'utf-8' }
    get fatal() { return this.#fatal }
    get ignoreBOM() { return this.#ignoreBOM }
    decode(input = new Uint8Array(), { stream = false } = {}) {
      const given = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      const bytes = this.#held.length ? Uint8Array.from([...this.#held, ...given]) : given
      const parts = []
      let i = !this.#begun && !this.#ignoreBOM && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
      while (i < bytes.length) {
        const [code, length, whole] = this.#next(bytes, i)
        if (stream && !whole) break
        if (code === 0xfffd && this.#fatal && !(bytes[i] === 0xef && length === 3)) {
          this.#held = []
          throw new TypeError('TextDecoder: the bytes are not valid utf-8')
        }
        parts.push(String.fromCodePoint(code))
        i += length
      }
      this.#held = stream ? [...bytes.subarray(i)] : []
      this.#begun = stream && (this.#begun || bytes.length > 2)
      return parts.join('')
    }
    // One code point, its length in bytes, and whether more bytes could not change it; U+FFFD for each maximal part of
    // an ill-formed sequence.
    #next(bytes, at) {
      const lead = bytes[at]
      if (lead < 0x80) return [lead, 1, true]
      const extra = lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 0
      let code = extra === 0 ? 0 : lead & (0x3f >> extra)
      const low = { 0xe0: 0xa0, 0xf0: 0x90 }[lead] ?? 0x80
      const high = { 0xed: 0x9f, 0xf4: 0x8f }[lead] ?? 0xbf
      for (let k = 1; k <= extra; k++) {
        const byte = bytes[at + k]
        if (byte === undefined) return [0xfffd, k, false]
        if (byte < (k === 1 ? low : 0x80) || byte > (k === 1 ? high : 0xbf)) return [0xfffd, k, true]
        code = (code << 6) | (byte & 0x3f)
      }
      return extra === 0 ? [0xfffd, 1, true] : [code, extra + 1, true]
    }
  }
  define('TextEncoder', TextEncoder)
  define('TextDecoder', TextDecoder)

  const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  class InvalidCharacterError extends Error { get name() { return 'InvalidCharacterError' } }
  define('btoa', (input) => {
    const text = String(input), out = []
    for (let i = 0; i < text.length; i += 3) {
      const codes = [text.charCodeAt(i), text.charCodeAt(i + 1), text.charCodeAt(i + 2)]
      if (codes.some((code) => code > 255)) throw new InvalidCharacterError('btoa(): a character is outside of Latin-1')
      const bits = (codes[0] << 16) | ((codes[1] || 0) << 8) | (codes[2] || 0)
      const left = text.length - i
      out.push(BASE64[bits >> 18] + BASE64[(bits >> 12) & 63] + (left > 1 ? BASE64[(bits >> 6) & 63] : '=') + (left > 2 ? BASE64[bits & 63] : '='))
    }
    return out.join('')
  })
  define('atob', (input) => {
    let text = String(input).replace(/[\t\n\f\r ]/g, '')
    if (text.length % 4 === 0) text = text.replace(/={1,2}$/, '')
    if (text.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(text)) throw new InvalidCharacterError('atob(): this is not base64')
    const out = []
    let bits = 0, held = 0
    for (const character of text) {
      bits = (bits << 6) | BASE64.indexOf(character)
      held += 6
      if (held >= 8) { held -= 8; out.push(String.fromCharCode((bits >> held) & 255)); bits &= (1 << held) - 1 }
    }
    return out.join('')
  })

  const formEncode = (text) => encodeURIComponent(text.toWellFormed()).replace(/%20/g, '+').replace(/[!'()~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())
  const formDecode = (text) => percentDecode(text.replace(/\+/g, ' '))
  const percentDecode = (text) => {
    const bytes = []
    const raw = new TextEncoder().encode(text)
    for (let i = 0; i < raw.length; i++) {
      const hex = raw[i] === 37 ? /^[0-9a-f]{2}/i.exec(String.fromCharCode(raw[i + 1], raw[i + 2])) : null
      bytes.push(hex ? parseInt(hex[0], 16) : raw[i])
      if (hex) i += 2
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes))
  }
  class URLSearchParams {
    #pairs = []
    #changed = () => {}
    constructor(init = '') {
      if (init !== null && typeof init === 'object') {
        const pairs = typeof init[Symbol.iterator] === 'function' ? [...init] : Object.entries(init)
        for (const pair of pairs) {
          if ([...pair].length !== 2) throw new TypeError('URLSearchParams: each pair has a name and a value')
          this.#pairs.push([String(pair[0]), String(pair[1])])
        }
      } else this.#parse(String(init))
    }
    static attached(text, changed) {
      const params = new URLSearchParams(text)
      params.#changed = changed
      return params
    }
    #parse(text) {
      for (const part of text.replace(/^\?/, '').split('&')) {
        if (!part) continue
        const at = part.indexOf('=')
        this.#pairs.push(at < 0 ? [formDecode(part), ''] : [formDecode(part.slice(0, at)), formDecode(part.slice(at + 1))])
      }
    }
    get size() { return this.#pairs.length }
    append(name, value) { this.#pairs.push([String(name), String(value)]); this.#changed(this) }
    delete(name, value) {
      this.#pairs = this.#pairs.filter(([n, v]) => n !== String(name) || (value !== undefined && v !== String(value)))
      this.#changed(this)
    }
    get(name) { return this.#pairs.find(([n]) => n === String(name))?.[1] ?? null }
    getAll(name) { return this.#pairs.filter(([n]) => n === String(name)).map(([, v]) => v) }
    has(name, value) { return this.#pairs.some(([n, v]) => n === String(name) && (value === undefined || v === String(value))) }
    set(name, value) {
      const first = this.#pairs.findIndex(([n]) => n === String(name))
      if (first < 0) return this.append(name, value)
      this.#pairs = this.#pairs.filter(([n], i) => i <= first || n !== String(name))
      this.#pairs[first][1] = String(value)
      this.#changed(this)
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#changed(this) }
    forEach(callback, self) { for (const [n, v] of this.#pairs) callback.call(self, v, n, this) }
    *entries() { for (const [n, v] of this.#pairs) yield [n, v] }
    *keys() { for (const [n] of this.#pairs) yield n }
    *values() { for (const [, v] of this.#pairs) yield v }
    [Symbol.iterator]() { return this.entries() }
    toString() { return this.#pairs.map(([n, v]) => `${formEncode(n)}=${formEncode(v)}`).join('&') }
  }
  define('URLSearchParams', URLSearchParams)

  const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' }
  const escapeIn = (text, also) => text.toWellFormed().replace(/[^\x21-\x7e]|["<>]/gu, (c) => encodeURIComponent(c)).replace(also, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'))
  const queryEscape = (text, special) => escapeIn(text, special ? /'/g : /(?!)/g)
  const withoutDots = (path) => {
    const parts = []
    const given = path.split('/')
    given.forEach((part, i) => {
      const plain = part.replace(/%2e/gi, '.')
      if (plain === '..') { if (parts.length > 1) parts.pop() } else if (plain !== '.') parts.push(part)
      if ((plain === '.' || plain === '..') && i === given.length - 1) parts.push('')
    })
    return parts.join('/')
  }
  // A host in letters of any script, as names are registered: each label in Punycode (RFC 3492).
  const punycode = (label) => {
    const points = Array.from(label, (c) => c.codePointAt(0))
    const out = points.filter((c) => c < 128).map((c) => String.fromCharCode(c))
    const basic = out.length
    if (basic) out.push('-')
    const digit = (d) => String.fromCharCode(d < 26 ? d + 97 : d + 22)
    let bias = 72, delta = 0, least = 128
    for (let done = basic; done < points.length; delta++, least++) {
      const next = Math.min(...points.filter((c) => c >= least))
      delta += (next - least) * (done + 1)
      least = next
      for (const c of points) {
        if (c < least) delta++
        if (c !== least) continue
        let q = delta
        for (let k = 36; ; k += 36) {
          const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias
          if (q < t) break
          out.push(digit(t + (q - t) % (36 - t)))
          q = Math.floor((q - t) / (36 - t))
        }
        out.push(digit(q))
        delta = Math.floor(delta / (done === basic ? 700 : 2))
        delta += Math.floor(delta / (++done))
        for (bias = 0; delta > 455; bias += 36) delta = Math.floor(delta / 35)
        bias += Math.floor((36 * delta) / (delta + 38))
        delta = 0
      }
    }
    return 'xn--' + out.join('')
  }
  const ascii = (host) => host.normalize('NFKC').toLowerCase().normalize('NFC').replace(/[\u3002\uff0e\uff61]/g, '.').split('.').map((label) => (/[^\0-\x7f]/.test(label) ? punycode(label) : label)).join('.')
  // A host that ends in a number is an address of four bytes, however it is written; null: it is none that exists.
  const address = (host) => {
    const parts = host.replace(/\.$/, '').split('.')
    if (!/^(?:\d+|0x[0-9a-f]*)$/i.test(parts.at(-1))) return host
    const numbers = parts.map((part) => (/^0x[0-9a-f]*$/i.test(part) ? parseInt(part.slice(2) || '0', 16) : /^0[0-7]+$/.test(part) ? parseInt(part, 8) : /^(?:0|[1-9]\d*)$/.test(part) ? Number(part) : NaN))
    const last = numbers.pop()
    if (numbers.length > 3 || !numbers.every((n) => n < 256) || !(last < 256 ** (4 - numbers.length))) return null
    const value = numbers.reduce((sum, n, i) => sum + n * 256 ** (3 - i), last)
    return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
  }
  // The parts of a URL that programs read, as the standard has them.
  class URL {
    #u
    #params
    constructor(url, base) {
      this.#u = URL.#resolve(String(url), base === undefined ? null : new URL(base).#u)
    }
    static canParse(url, base) { try { new URL(url, base); return true } catch { return false } }
    static parse(url, base) { try { return new URL(url, base) } catch { return null } }
    static #resolve(given, base) {
      const text = given.trim().replace(/[\t\n\r]/g, '')
      const fail = () => { throw new TypeError(`Invalid URL: ${given}`) }
      const [, scheme, afterScheme] = /^([a-z][a-z0-9+.-]*:)([^]*)$/i.exec(text) ?? []
      if (!scheme && !base) fail()
      const [, main, query, hash] = /^([^?#]*)(\?[^#]*)?(#[^]*)?$/.exec(scheme ? afterScheme : text)
      const protocol = scheme ? scheme.toLowerCase() : base.protocol
      const special = protocol in PORTS
      const u = { protocol, username: '', password: '', hostname: '', port: '', pathname: '', search: queryEscape(query ?? '', special), hash: escapeIn(hash ?? '', /`/g), opaque: false }
      const path = special ? main.replace(/\\/g, '/') : main
      const slashes = special && protocol !== 'file:' && scheme && !(base && base.protocol === protocol) ? /^\/*([^/]*)([^]*)$/ : special && protocol !== 'file:' ? /^\/\/+([^/]*)([^]*)$/ : /^\/\/([^/]*)([^]*)$/
      const authority = slashes.exec(path)
      if (!scheme && base.opaque && !(main === '' && query === undefined)) fail()
      if (authority) { URL.#authority(u, authority[1], special, fail); u.pathname = authority[2] }
      else if (scheme && (!base || base.protocol !== protocol || !special)) {
        u.pathname = path
        u.opaque = !path.startsWith('/')
        if (protocol === 'file:' && !path.startsWith('/')) u.pathname = '/' + path
      } else {
        Object.assign(u, { username: base.username, password: base.password, hostname: base.hostname, port: base.port })
        u.opaque = base.opaque
        if (path === '') { u.pathname = base.pathname; if (query === undefined) u.search = base.search }
        else u.pathname = path.startsWith('/') ? path : base.pathname.replace(/[^/]*$/, '') + path
      }
      if (u.opaque && !special) u.pathname = u.pathname.toWellFormed().replace(/[^\x20-\x7e]/gu, (c) => encodeURIComponent(c))
      else u.pathname = escapeIn(withoutDots(u.pathname), /[`{}^]/g)
      if (special && !u.pathname.startsWith('/')) u.pathname = '/' + u.pathname
      return u
    }
    static #authority(u, text, special, fail) {
      const at = text.lastIndexOf('@')
      if (at >= 0) {
        const [name, ...rest] = text.slice(0, at).split(':')
        u.username = escapeIn(name, /[/:;=?#@[\\\]^|`{}]/g)
        u.password = escapeIn(rest.join(':'), /[/:;=?#@[\\\]^|`{}]/g)
      }
      const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:]*)(?::(\d*))?$/i.exec(text.slice(at + 1)) ?? fail()
      if (special && u.protocol !== 'file:' && !host) fail()
      const decoded = special ? percentDecode(host) : host
      const plain = special && !host.startsWith('[') ? address(/[^\0-\x7f]/.test(decoded) ? ascii(decoded) : decoded.toLowerCase()) ?? fail() : decoded
      if (/[\s#%/<>?@\\^|]/.test(plain) || (special && /[^\x21-\x7e]/.test(plain))) fail()
      if (port && +port > 65535) fail()
      u.hostname = plain === 'localhost' && u.protocol === 'file:' ? '' : plain
      u.port = port === undefined || port === '' || String(+port) === PORTS[u.protocol] ? '' : String(+port)
    }
    get protocol() { return this.#u.protocol }
    get username() { return this.#u.username }
    get password() { return this.#u.password }
    get hostname() { return this.#u.hostname }
    get port() { return this.#u.port }
    get host() { return this.#u.hostname + (this.#u.port ? ':' + this.#u.port : '') }
    get origin() {
      if (this.#u.protocol === 'blob:') return URL.parse(this.#u.pathname)?.origin ?? 'null'
      return this.#u.protocol in PORTS && this.#u.protocol !== 'file:' ? `${this.#u.protocol}//${this.host}` : 'null'
    }
    get pathname() { return this.#u.pathname }
    get search() { return this.#u.search === '?' ? '' : this.#u.search }
    get hash() { return this.#u.hash === '#' ? '' : this.#u.hash }
    get href() { return URL.#text(this.#u) }
    static #text(u) {
      const user = u.username || u.password ? u.username + (u.password ? ':' + u.password : '') + '@' : ''
      const authority = u.hostname || u.protocol in PORTS ? `//${user}${u.hostname}${u.port ? ':' + u.port : ''}` : ''
      return u.protocol + authority + u.pathname + u.search + u.hash
    }
    get searchParams() {
      this.#params ??= URLSearchParams.attached(this.#u.search, (params) => { this.#u.search = params.size ? '?' + params : '' })
      return this.#params
    }
    set href(value) { this.#u = URL.#resolve(String(value), null); this.#params = undefined }
    // A part that would make no URL is ignored, as the standard wants.
    #change(part, value) {
      const u = { ...this.#u, [part]: value }
      try { this.#u = URL.#resolve(URL.#text(u), null) } catch { return }
    }
    set protocol(value) {
      const next = /^[a-z][a-z0-9+.-]*/i.exec(String(value))?.[0].toLowerCase()
      if (next && `${next}:` in PORTS === this.#u.protocol in PORTS) this.#change('protocol', `${next}:`)
    }
    set hostname(value) { if (!this.#u.opaque && !/[/?#:@\\]/.test(String(value))) this.#change('hostname', String(value)) }
    set host(value) {
      const [, host, port] = /^([^/?#@\\]*?)(?::(\d*))?$/.exec(String(value)) ?? []
      if (this.#u.opaque || host === undefined) return
      this.#change('hostname', host)
      if (port) this.port = port
    }
    set port(value) {
      const digits = /^\d*/.exec(String(value))[0]
      if (this.#u.hostname && (digits || value === '')) this.#change('port', digits)
    }
    set username(value) { this.#u.username = escapeIn(String(value), /[/:;=?#@[\\\]^|`{}]/g) }
    set password(value) { this.#u.password = escapeIn(String(value), /[/:;=?#@[\\\]^|`{}]/g) }
    set pathname(value) { const text = String(value); this.#u.pathname = escapeIn(withoutDots(text.startsWith('/') ? text : '/' + text), /[?#`{}^]/g) }
    set search(value) { const text = String(value).replace(/^\?/, ''); this.#u.search = text ? '?' + queryEscape(text, this.#u.protocol in PORTS).replace(/#/g, '%23') : ''; this.#params = undefined }
    set hash(value) { const text = String(value).replace(/^#/, ''); this.#u.hash = text ? '#' + escapeIn(text, /`/g) : '' }
    get [Symbol.toStringTag]() { return 'URL' }
    toString() { return this.href }
    toJSON() { return this.href }
  }
  define('URL', URL)
})()
