// What people read: order of words, numbers, dates. The engine has no Intl and compares code units; this is English with
// the root order of Unicode for what scripts meet. It depends on nothing but its input, so it replays on every machine.
(function () {
  'use strict'
  const hide = (object, name, value) => Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true })

  // --- order -----------------------------------------------------------------------------------------------------------
  const ORDER = '\t\n\v\f\r _-,;:!?.\'"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz'
  const WEIGHTS = new Map(Array.from(ORDER, (c, i) => [c, i + 1]))
  const LETTERS = { 'ß': 'ss', 'ẞ': 'SS', 'æ': 'ae', 'Æ': 'AE', 'œ': 'oe', 'Œ': 'OE', 'ø': 'o', 'Ø': 'O', 'ł': 'l', 'Ł': 'L', 'đ': 'd', 'Đ': 'D' }
  // A base letter with a mark behind it for each accent; U+0338 stands for the strokes that Unicode does not take apart.
  const spell = (text) => /^[\x00-\x7f]*$/.test(text) ? text : text.replace(/[ßẞæÆœŒøØłŁđĐ]/g, (c) => LETTERS[c] + '\u0338').normalize('NFD')
  const isMark = (c) => c >= '\u0300' && c <= '\u036f'
  const isDigit = (c) => c >= '0' && c <= '9'
  const weight = (c) => WEIGHTS.get(c) ?? (/[\p{L}\p{N}]/u.test(c) ? 1000 + c.charCodeAt(0) : WEIGHTS.get('$') + c.charCodeAt(0) / 65536)
  const runOf = (text, at, test) => { let end = at; while (end < text.length && test(text[end])) end++; return text.slice(at, end) }
  const number = (text, at) => runOf(text, at, isDigit)
  const sign = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
  const byValue = (a, b) => {
    const x = a.replace(/^0+/, ''), y = b.replace(/^0+/, '')
    return sign(x.length, y.length) || sign(x, y)
  }
  // First the letters, then their accents, then their case, small before capital.
  const compare = (a, b, { numeric = false, sensitivity = 'variant' } = {}) => {
    let i = 0, j = 0, accents = 0, casing = 0
    a = spell(a)
    b = spell(b)
    while (i < a.length || j < b.length) {
      const marksOfA = runOf(a, i, isMark), marksOfB = runOf(b, j, isMark)
      accents ||= sign(marksOfA, marksOfB)
      i += marksOfA.length
      j += marksOfB.length
      if (i >= a.length || j >= b.length) {
        if (i < a.length || j < b.length) return i < a.length ? 1 : -1
        break
      }
      if (numeric && isDigit(a[i]) && isDigit(b[j])) {
        const x = number(a, i), y = number(b, j), order = byValue(x, y)
        if (order) return order
        i += x.length
        j += y.length
        continue
      }
      const c = a[i++], d = b[j++]
      if (c === d) continue
      const small = c.toLowerCase(), other = d.toLowerCase()
      const order = sign(weight(small), weight(other))
      if (order) return order
      casing ||= c === small ? -1 : 1
    }
    return (sensitivity === 'base' || sensitivity === 'case' ? 0 : accents) || (sensitivity === 'base' || sensitivity === 'accent' ? 0 : casing)
  }
  hide(String.prototype, 'localeCompare', function localeCompare(other, locales, options) {
    return compare(String(this), String(other), options ?? {})
  })

  // --- numbers -----------------------------------------------------------------------------------------------------------
  const SIGNS = { USD: '$', EUR: '€', GBP: '£', JPY: '¥', CNY: 'CN¥', INR: '₹' }
  const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ',')
  const digitsOf = (value) => value >= 1e21 ? [String(BigInt(value)), ''] : value < 1e-6 ? value.toFixed(20).split('.') : [...String(value).split('.'), '']
  const decimal = (value, percent, least, most) => {
    let [whole, fraction] = digitsOf(value)
    if (percent) [whole, fraction] = [whole + fraction.padEnd(2, '0').slice(0, 2), fraction.slice(2)]
    const kept = BigInt(whole + fraction.padEnd(most, '0').slice(0, most)) + (fraction[most] >= '5' ? 1n : 0n)
    const all = String(kept).padStart(most + 1, '0')
    const rest = all.slice(all.length - most).replace(/0+$/, '').padEnd(least, '0')
    return grouped(all.slice(0, all.length - most)) + (most && rest ? `.${rest}` : '')
  }
  hide(Number.prototype, 'toLocaleString', function toLocaleString(locales, options) {
    const value = Number(this), { style = 'decimal', currency = 'USD', minimumFractionDigits, maximumFractionDigits } = options ?? {}
    const usual = style === 'currency' ? [2, 2] : style === 'percent' ? [0, 0] : [0, 3]
    const least = minimumFractionDigits ?? Math.min(usual[0], maximumFractionDigits ?? usual[0])
    const most = maximumFractionDigits ?? Math.max(usual[1], least)
    if (!(least >= 0 && least <= most && most <= 100)) throw new RangeError('toLocaleString(): maximumFractionDigits value is out of range')
    const size = Math.abs(value)
    const digits = Number.isNaN(value) ? 'NaN' : size === Infinity ? '∞' : decimal(size, style === 'percent', least, most)
    const before = style === 'currency' ? SIGNS[currency] ?? `${currency}\u00a0` : ''
    return (value < 0 || Object.is(value, -0) ? '-' : '') + before + digits + (style === 'percent' ? '%' : '')
  })
  hide(BigInt.prototype, 'toLocaleString', function toLocaleString() {
    return String(this).replace(/\d+/, grouped)
  })

  // --- dates, in UTC -----------------------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, '0')
  const day = (d) => `${d.getUTCMonth() + 1}/${d.getUTCDate()}/${d.getUTCFullYear()}`
  const time = (d) => `${d.getUTCHours() % 12 || 12}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} ${d.getUTCHours() < 12 ? 'AM' : 'PM'}`
  for (const [name, show] of [['toLocaleDateString', day], ['toLocaleTimeString', time], ['toLocaleString', (d) => `${day(d)}, ${time(d)}`]]) {
    hide(Date.prototype, name, { [name]() { return Number.isNaN(this.getTime()) ? 'Invalid Date' : show(this) } }[name])
  }
})()
