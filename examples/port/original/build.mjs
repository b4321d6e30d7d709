// Compiles every file of the port, and says what is wrong as FILE:LINE: MESSAGE. `node build.mjs`
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

const files = readdirSync('port').filter((name) => name.endsWith('.mjs')).sort()
let wrong = 0
for (const name of files) {
  const { status, stderr } = spawnSync(process.execPath, ['--check', `port/${name}`], { encoding: 'utf8' })
  if (status === 0) continue
  wrong += 1
  const [place, code] = stderr.split('\n')
  console.log(`port/${name}:${place.split(':').at(-1)}: ${stderr.match(/^\w*Error: .*$/m)?.[0] ?? 'it does not compile'}\n    ${code.trim()}`)
}
console.log(`${files.length - wrong} of ${files.length} files compile.`)
process.exit(wrong ? 1 : 0)
