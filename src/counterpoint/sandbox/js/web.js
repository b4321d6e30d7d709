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
  define('structuredClone', (value) => clone(value, new Map()))

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
    constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
      if (!/^(utf-?8|unicode-1-1-utf-8)$/i.test(String(label).trim())) throw new RangeError(`TextDecoder: only utf-8 is available, not '${label}'`)
      this.#fatal = fatal
      this.#ignoreBOM = ignoreBOM
    }
    get encoding() { return 'utf-8' }
    get fatal() { return this.#fatal }
    get ignoreBOM() { return this.#ignoreBOM }
    decode(input = new Uint8Array()) {
      const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      const parts = []
      let i = !this.#ignoreBOM && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
      while (i < bytes.length) {
        const [code, length] = this.#next(bytes, i)
        parts.push(String.fromCodePoint(code))
        i += length
      }
      return parts.join('')
    }
    // One code point and its length in bytes; U+FFFD for each maximal part of an ill-formed sequence.
    #next(bytes, at) {
      const lead = bytes[at]
      if (lead < 0x80) return [lead, 1]
      const extra = lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : 0
      let code = extra === 0 ? 0 : lead & (0x3f >> extra)
      const low = { 0xe0: 0xa0, 0xf0: 0x90 }[lead] ?? 0x80
      const high = { 0xed: 0x9f, 0xf4: 0x8f }[lead] ?? 0xbf
      for (let k = 1; k <= extra; k++) {
        const byte = bytes[at + k]
        if (byte === undefined || byte < (k === 1 ? low : 0x80) || byte > (k === 1 ? high : 0xbf)) return this.#bad(k)
        code = (code << 6) | (byte & 0x3f)
      }
      return extra === 0 ? this.#bad(1) : [code, extra + 1]
    }
    #bad(length) {
      if (this.#fatal) throw new TypeError('TextDecoder: the bytes are not valid utf-8')
      return [0xfffd, length]
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
  const escapeIn = (text, also) => text.toWellFormed().replace(/[^\x21-\x7e]|["<>`]/gu, (c) => encodeURIComponent(c)).replace(also, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'))
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
  // The parts of a URL that programs read. Special schemes as the standard has them; no IDNA: other hosts than ASCII are refused.
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
      const u = { protocol, username: '', password: '', hostname: '', port: '', pathname: '', search: query && query !== '?' ? escapeIn(query, /'/g) : '', hash: hash && hash !== '#' ? escapeIn(hash, /(?!)/g) : '', opaque: false }
      const path = special ? main.replace(/\\/g, '/') : main
      const authority = /^\/\/([^/]*)([^]*)$/.exec(path) ?? (scheme && special && protocol !== 'file:' && !(base && base.protocol === protocol && !path.startsWith('/')) ? /^\/*([^/]*)([^]*)$/.exec(path) : null)
      if (authority) { URL.#authority(u, authority[1], special, fail); u.pathname = authority[2] }
      else if (scheme && (!base || base.protocol !== protocol || !special)) {
        u.pathname = path
        u.opaque = !path.startsWith('/')
        if (protocol === 'file:' && !path.startsWith('/')) u.pathname = '/' + path
      } else {
        Object.assign(u, { username: base.username, password: base.password, hostname: base.hostname, port: base.port })
        if (base.opaque && !(path === '' && !query)) fail()
        if (path === '') { u.pathname = base.pathname; if (query === undefined) u.search = base.search }
        else u.pathname = path.startsWith('/') ? path : base.pathname.replace(/[^/]*$/, '') + path
      }
      if (!(u.opaque && !special)) u.pathname = escapeIn(withoutDots(u.pathname), /[{}^]/g)
      if (special && !u.pathname.startsWith('/')) u.pathname = '/' + u.pathname
      return u
    }
    static #authority(u, text, special, fail) {
      const at = text.lastIndexOf('@')
      if (at >= 0) {
        const [name, ...rest] = text.slice(0, at).split(':')
        u.username = escapeIn(name, /[/:;=@[\]^|]/g)
        u.password = escapeIn(rest.join(':'), /[/:;=@[\]^|]/g)
      }
      const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:]*)(?::(\d*))?$/i.exec(text.slice(at + 1)) ?? fail()
      if (special && u.protocol !== 'file:' && !host) fail()
      const plain = special ? percentDecode(host).toLowerCase() : host
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
    get origin() { return this.#u.protocol in PORTS && this.#u.protocol !== 'file:' ? `${this.#u.protocol}//${this.host}` : 'null' }
    get pathname() { return this.#u.pathname }
    get search() { return this.#u.search }
    get hash() { return this.#u.hash }
    get href() {
      const u = this.#u
      const user = u.username || u.password ? u.username + (u.password ? ':' + u.password : '') + '@' : ''
      const authority = u.hostname || u.protocol in PORTS ? `//${user}${this.host}` : ''
      return u.protocol + authority + u.pathname + u.search + u.hash
    }
    get searchParams() {
      this.#params ??= URLSearchParams.attached(this.#u.search, (params) => { this.#u.search = params.size ? '?' + params : '' })
      return this.#params
    }
    #replace(change) { this.#u = URL.#resolve(change, null) }
    set href(value) { this.#replace(String(value)); this.#params = undefined }
    set protocol(value) { this.#replace(this.href.replace(/^[^:]*:/, String(value).replace(/:?$/, ':'))) }
    set hostname(value) { this.#replace(this.href.replace(`//${this.#authorityText()}`, `//${this.#userText()}${value}${this.#u.port ? ':' + this.#u.port : ''}`)) }
    set host(value) { this.#replace(this.href.replace(`//${this.#authorityText()}`, `//${this.#userText()}${value}`)) }
    set port(value) { this.#replace(this.href.replace(`//${this.#authorityText()}`, `//${this.#userText()}${this.#u.hostname}${value === '' ? '' : ':' + value}`)) }
    set username(value) { this.#u.username = escapeIn(String(value), /[/:;=@[\]^|]/g) }
    set password(value) { this.#u.password = escapeIn(String(value), /[/:;=@[\]^|]/g) }
    set pathname(value) { const text = String(value); this.#u.pathname = escapeIn(withoutDots(text.startsWith('/') ? text : '/' + text), /[?#{}^]/g) }
    set search(value) { const text = String(value).replace(/^\?/, ''); this.#u.search = text ? '?' + escapeIn(text, /['#]/g) : ''; this.#params = undefined }
    set hash(value) { const text = String(value).replace(/^#/, ''); this.#u.hash = text ? '#' + escapeIn(text, /(?!)/g) : '' }
    #userText() { return this.#u.username || this.#u.password ? this.#u.username + (this.#u.password ? ':' + this.#u.password : '') + '@' : '' }
    #authorityText() { return this.#userText() + this.host }
    toString() { return this.href }
    toJSON() { return this.href }
  }
  define('URL', URL)
})()
