// The port gives what the shared test vector says: `node test_port.mjs`. Files that are not ported are named and left out.
import { existsSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'

const cases = JSON.parse(readFileSync('vectors.json', 'utf8'))
const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
const missing = new Set()
let right = 0
let wrong = 0
for (const one of cases) {
  const path = `port/${one.file}.mjs`
  if (!existsSync(path)) {
    missing.add(path)
    continue
  }
  let found
  try {
    found = { gives: (await import(`./${path}`))[camel(one.call)](...one.with) }
  } catch (error) {
    found = error instanceof RangeError ? { raises: true } : { throws: String(error) }
  }
  const [kind] = Object.keys(found)
  if (isDeepStrictEqual(found[kind], one[kind])) right += 1
  else {
    wrong += 1
    console.log(`${path}: ${one.call}(${JSON.stringify(one.with)}) ${kind} ${JSON.stringify(found[kind])}, not ${JSON.stringify(one.gives ?? 'an error')}`)
  }
}
for (const path of missing) console.log(`${path} is not there: its cases are left out.`)
console.log(`${right} of ${right + wrong} cases are right.`)
process.exit(wrong || !right ? 1 : 0)
