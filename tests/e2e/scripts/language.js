export const meta = {
  name: 'language',
  description: 'What ES2023 has, a little of everything',
  agents: 3,
  expect: {
    generator: [0, 1, 4, 'end'], privates: [3, true, false, 'static'], iterated: ['a0', 'a1', 'a2'], label: [0, 2], tag: 'A|1|B|2|C raw\\n',
    lookbehind: '20', named: '2026-11', unicode: 2, sets: true, sticky: [1, 3], dotAll: true, indices: [0, 1],
    arrays: [3, 2, [1, 2, 3], [3, 2, 1], [1, 9, 3], [1, 3]], grouped: { odd: [1, 3], even: [2] }, byMap: 2, entries: { a: 2 },
    optional: [null, 7, 'd'], nullish: [0, 1, 2], spread: { a: 1, b: 3, rest: { c: 4 } }, big: '9007199254740993', symbols: 'it', proxy: 42,
    weak: true, dates: '2026-01-02T00:00:00.000Z', json: '{"a":[1,{"b":2}]}', sorted: ['a', 'b', 'ä'], at: 'z', replaced: 'b-b', padded: '007',
    errors: ['TypeError', 'cause', 'AggregateError'], getters: [1, 2], computed: 'k1', hoisted: 'up', closures: [0, 1, 2], comma: 3, exponent: 1024,
    strict: ['ReferenceError', 'TypeError', null], iteratorHelpers: [4, 6], wellFormed: false, flat: [1, 2, 3, 4], typed: [1, 255], raw: 'a\\tb',
  },
}

const out = {}
function* squares() { for (let i = 0; i < 3; i++) yield i * i; return 'end' }
const g = squares()
out.generator = [g.next().value, g.next().value, g.next().value, g.next().value]

class Counter {
  #n = 0
  static #made = 'static'
  static { Counter.kind = Counter.#made }
  get #hidden() { return this.#n }
  #bump() { this.#n++ }
  bump(times) { for (let i = 0; i < times; i++) this.#bump(); return this.#hidden }
  static has(thing) { return #n in thing }
}
out.privates = [new Counter().bump(3), Counter.has(new Counter()), Counter.has({}), Counter.kind]

async function* answers() { for (let i = 0; i < 3; i++) yield (await agent(`number ${i}`, { schema: { type: 'object', properties: { n: { const: i } }, required: ['n'] } })).n }
out.iterated = []
for await (const n of answers()) out.iterated.push(`a${n}`)

out.label = []
outer: for (let i = 0; i < 4; i++) {
  for (const j of [0, 1]) {
    if (i === 3) break outer
    if (i === 1 && j === 0) continue outer
    if (j === 1) { out.label.push(i); continue outer }
  }
}

const tag = (texts, ...values) => texts.raw.flatMap((text, i) => (i < values.length ? [text, values[i]] : [text])).join('|')
out.tag = tag`A${1}B${2}C raw\n`

out.lookbehind = /(?<=\$)\d+/.exec('cost: $20')[0]
out.named = 'on 2026-11-25'.replace(/.*?(?<year>\d{4})-(?<month>\d\d).*/u, '$<year>-$<month>')
out.unicode = [...'a😀b'.matchAll(/\p{L}/gu)].length
out.sets = /^[\p{L}--[a-z]]$/v.test('Ä') && !/^[\p{L}--[a-z]]$/v.test('a')
out.sticky = (() => { const re = /\d/y; re.lastIndex = 0; const found = []; for (const at of [0, 2]) { re.lastIndex = at; found.push(+re.exec('1a3')[0]) } return found })()
out.dotAll = /a.b/s.test('a\nb')
out.indices = /x/d.exec('xy').indices[0]

const three = [1, 2, 3]
out.arrays = [three.findLast((n) => n > 1), three.findLastIndex((n) => n > 1), three.toSorted(), three.toReversed(), three.with(1, 9), three.toSpliced(1, 1)]
out.grouped = Object.groupBy(three, (n) => (n % 2 ? 'odd' : 'even'))
out.byMap = Map.groupBy(three, (n) => n % 2).size
out.entries = Object.fromEntries(Object.entries({ a: 1 }).map(([key, value]) => [key, value * 2]))

const deep = { a: { b: () => 7 } }
out.optional = [deep.x?.y.z ?? null, deep.a?.b?.(), deep['q']?.[0] ?? 'd']
let n0 = 0, n1 = null, n2
n0 ??= 5; n1 ??= 1; n2 ||= 2
out.nullish = [n0, n1, n2]
const { a, ...others } = { a: 1, b: 3, c: 4 }
const { b, ...rest } = others
out.spread = { a, b, rest }
out.big = String(2n ** 53n + 1n)
out.symbols = { [Symbol.toPrimitive]: () => 'it' } + ''
out.proxy = new Proxy({}, { get: () => 42 }).anything
out.weak = new WeakMap([[deep, 1]]).has(deep)
out.dates = new Date(Date.UTC(2026, 0, 2)).toISOString()
out.json = JSON.stringify(JSON.parse('{"a":[1,{"b":2}]}'))
out.sorted = ['ä', 'b', 'a'].sort()
out.at = 'xyz'.at(-1)
out.replaced = 'a-a'.replaceAll('a', 'b')
out.padded = '7'.padStart(3, '0')
const named = (f) => { try { return f() } catch (error) { return error.name } }
out.errors = [named(() => null.x), new Error('x', { cause: 'cause' }).cause, named(() => { throw new AggregateError([]) })]
out.getters = (() => { let n = 0; const o = { get x() { return ++n } }; return [o.x, o.x] })()
out.computed = { ['k' + 1]: 'k1' }.k1
out.hoisted = hoisted()
function hoisted() { return 'up' }
out.closures = (() => { const fs = []; for (let i = 0; i < 3; i++) fs.push(() => i); return fs.map((f) => f()) })()
out.comma = (1, 2, 3)
out.exponent = 2 ** 10
out.strict = [named(() => { undeclared = 1 }), named(() => { Object.freeze({ a: 1 }).a = 2 }), (function () { return this })()]
out.iteratorHelpers = [1, 2, 3].values().drop(1).map((n) => n * 2).toArray()
out.wellFormed = '\ud800'.isWellFormed()
out.flat = [[1, [2]], [3]].flat(2).concat([4])
out.typed = [...new Uint8Array([1, 511])]
out.raw = String.raw`a\tb`
return out
