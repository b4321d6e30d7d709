export const meta = {
  name: 'web',
  description: 'Small standards of the web that scripts use, and the absence of what reaches out of the script',
  expect: {
    url: ['example.org', '8080', '/a/c', '2', '#h', 'https://example.org:8080'], bad: 'TypeError', params: 'a=1&b=x+y&a=2', all: ['1', '2'],
    utf8: [0xe2, 0x82, 0xac], text: '€', base64: ['aGk=', 'hi'], clone: [1, true, true], order: ['sync', 'micro', 'promise', 'timer'], cleared: 'not called',
    waited: true, absent: [], evil: ['EvalError', 'EvalError'], typed: 'function',
  },
}

const out = {}
const url = new URL('../c?q=2#h', 'https://example.org:8080/a/b/d')
out.url = [url.hostname, url.port, url.pathname, url.searchParams.get('q'), url.hash, url.origin]
try { new URL('no url') } catch (error) { out.bad = error.name }
const params = new URLSearchParams({ a: '1', b: 'x y' })
params.append('a', '2')
out.params = params.toString()
out.all = params.getAll('a')
out.utf8 = [...new TextEncoder().encode('€')]
out.text = new TextDecoder().decode(Uint8Array.from(out.utf8))
out.base64 = [btoa('hi'), atob('aGk=')]
const given = { list: [1], when: new Date(0), set: new Set([1]) }
const copy = structuredClone(given)
out.clone = [copy.list[0], copy.list !== given.list, copy.when instanceof Date && copy.set.has(1)]
const order = []
await new Promise((resolve) => {
  setTimeout(() => { order.push('timer'); resolve() }, 1)
  queueMicrotask(() => order.push('micro'))
  Promise.resolve().then(() => order.push('promise'))
  order.push('sync')
})
out.order = order
out.cleared = 'not called'
clearTimeout(setTimeout(() => { out.cleared = 'called' }, 1))
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const before = Date.now()
await sleep(20)
out.waited = Date.now() - before >= 20
out.absent = ['require', 'process', 'Buffer', 'fetch', 'fs', 'XMLHttpRequest', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'module', 'setInterval'].filter((name) => name in globalThis)
out.evil = [() => eval('1'), () => new Function('return 1')].map((f) => { try { return f() } catch (error) { return error.name } })
out.typed = typeof setTimeout
return out
