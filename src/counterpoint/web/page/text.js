// Words, numbers and times, as the terminal shows them. What comes from scripts and models is hostile: whatever could
// act on its surroundings (control characters, ANSI sequences, bidi overrides) is shown as an escape.

const ACTING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const ALL_ACTING = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

export function visible(value) {
  const text = String(value)
  if (!ACTING.test(text)) return text
  return text.replace(ALL_ACTING, (c) => (c === '\n' || c === '\t' ? c : escaped(c.codePointAt(0))))
}

function escaped(code) {
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

export function oneLine(value, width = 100) {
  const line = visible(String(value).slice(0, width * 4)).split(/\s+/).filter(Boolean).join(' ')
  return line.length <= width ? line : line.slice(0, width - 1) + '…'
}

export function count(number) {
  for (const [size, unit] of [[1e6, 'M'], [1e3, 'k']]) {
    if (number >= size) return (number / size).toFixed(1).replace(/\.0$/, '') + unit
  }
  return String(Math.round(number))
}

export function money(usd) {
  if (usd === null || usd === undefined) return 'cost unknown'
  return usd >= 0.01 || usd === 0 ? `$${usd.toFixed(2)}` : `$${usd.toFixed(4)}`
}

export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)}s`
  const whole = Math.round(seconds)
  const minutes = Math.floor(whole / 60)
  const two = (n) => String(n).padStart(2, '0')
  return minutes < 60 ? `${minutes}m${two(whole % 60)}s` : `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`
}

export function clock(at) {
  const date = new Date(at * 1000)
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':')
}

export function ago(at, now) {
  const seconds = Math.max(0, now - at)
  if (seconds < 86400) return `${duration(seconds)} ago`
  return new Date(at * 1000).toLocaleDateString()
}

export function plural(n, word) {
  return `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`
}
