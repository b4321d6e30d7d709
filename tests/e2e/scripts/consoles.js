export const meta = {
  name: 'consoles',
  description: 'log and console become lines of the narration, whatever they are given',
  expect: null,
  logs: ['plain', 'two 3 {"a":1}', 'a warning', 'an error', 'TypeError: broken', 'null undefined true', '[1,2]'],
}

log('plain')
console.log('two', 3, { a: 1 })
console.warn('a warning')
console.error('an error')
console.info(new TypeError('broken'))
console.debug(null, undefined, true)
log([1, 2])
const circular = {}
circular.self = circular
console.log(circular)
