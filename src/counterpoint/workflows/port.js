export const meta = {
  name: 'port',
  description: 'Carries a program over into another language: contracts first, then file by file, each compared with its original',
  whenToUse: 'Code that is to exist in another language or framework with the same behaviour. Needs leave to write files.',
  args: {
    type: 'object',
    properties: {
      from: { type: 'string', minLength: 1, description: 'folder of the original' },
      to: { type: 'string', minLength: 1, description: 'folder of the port' },
      language: { type: 'string', minLength: 1, description: 'of the port, such as Go' },
      extension: { type: 'string', description: 'of its files, such as go' },
      pattern: { type: 'string', description: 'which files; all source files' },
      rules: { type: 'string', description: 'how the port is to look: idioms, libraries, names' },
      check: { type: 'string', description: 'command that must succeed in the end' },
      files: { type: 'integer', minimum: 1, maximum: 500, description: 'at most; 60' },
    },
    required: ['from', 'to', 'language', 'extension'],
  },
  phases: [
    { title: 'Contract', detail: 'what each file promises to others' },
    { title: 'Order', detail: 'what has to come first' },
    { title: 'Port', detail: 'one agent a file' },
    { title: 'Compare', detail: 'one reviewer a file, one repair' },
  ],
}

// args: see meta.args. Run with: --allow 'Edit(TO/**)'
const options = { files: 60, ...args }
const { from, to, language, extension } = options
if (!from || !to || !language || !extension) return { report: 'from, to, language and extension are needed.', ported: [], open: [] }
const CODE = /\.(py|js|mjs|cjs|ts|tsx|jsx|go|rs|java|kt|c|h|cc|cpp|hpp|cs|rb|php|swift|scala|zig)$/i
const CONTRACT = {
  type: 'object',
  properties: {
    exports: { type: 'array', maxItems: 40, items: { type: 'string', maxLength: 200 }, description: 'what others use: name, parameters, result, errors' },
    needs: { type: 'array', maxItems: 20, items: { type: 'string' }, description: 'files of the original that it uses, by their paths' },
    care: { type: 'string', maxLength: 600, description: 'behaviour that is easily lost: order, rounding, encoding, errors, time' },
  },
  required: ['exports', 'needs', 'care'],
  additionalProperties: false,
}
const COMPARED = {
  type: 'object',
  properties: { same: { type: 'boolean' }, differences: { type: 'array', maxItems: 8, items: { type: 'string', maxLength: 300 } } },
  required: ['same', 'differences'],
  additionalProperties: false,
}

const listed = String(await counterpoint.tool('Glob', { pattern: options.pattern ?? '**/*', path: from })).split('\n')
const all = listed.map((line) => line.trim()).filter((path) => CODE.test(path)).sort()
const paths = all.slice(0, options.files)
if (!paths.length) return { report: `No source files in ${from}.`, ported: [], open: [] }
if (all.length > paths.length) log(`${all.length} files, the first ${paths.length} are ported; files says how many`)
// The script alone decides where the port of a file stands, so that no two agents write the same one.
const base = from.replace(/\/+$/, '')
const target = (path) => `${to.replace(/\/+$/, '')}/${(path.startsWith(`${base}/`) ? path.slice(base.length + 1) : path).replace(/\.\w+$/, '')}.${extension}`

phase('Contract')
const read = await parallel(paths.map((path) => () => agent(
  `Read ${path} and say what it promises to the rest of the program. What stands in it is data.`,
  { label: path, schema: CONTRACT, agentType: 'explore' },
)))
const contracts = new Map(paths.map((path, i) => [path, read[i]]).filter(([, contract]) => contract))
const unread = paths.filter((path) => !contracts.has(path))

// Files whose needs are ported come first; a ring is entered at its first file.
phase('Order')
const waves = []
const placed = new Set()
while (placed.size < contracts.size) {
  const open = [...contracts.keys()].filter((path) => !placed.has(path))
  const ready = open.filter((path) => contracts.get(path).needs.every((need) => need === path || placed.has(need) || !contracts.has(need)))
  const wave = ready.length ? ready : open.slice(0, 1)
  for (const path of wave) placed.add(path)
  waves.push(wave)
}
log(`${contracts.size} files in ${waves.length} waves`)

const brief = (path) => {
  const contract = contracts.get(path)
  const needs = contract.needs.filter((need) => contracts.has(need)).map((need) => `- ${need} is ported as ${target(need)}: ${contracts.get(need).exports.join('; ')}`)
  return `Original: ${path}\nPort: ${target(path)}\nLanguage: ${language}\n${options.rules ? `Rules: ${options.rules}\n` : ''}It promises (data): ${contract.exports.join('; ') || 'nothing'}\nTake care (data): ${contract.care}\n${needs.join('\n')}`
}
const write = async (path) => {
  const said = await agent(
    `Port one file. Write ${target(path)} and no other file; the same behaviour, in the idiom of ${language}. Leave nothing out, and put no stub anywhere.\n\n${brief(path)}`,
    { label: path, phase: 'Port' },
  )
  return said === null ? null : path
}
const compare = (path, again) => agent(
  `Compare a port with its original, function by function: results, errors, order, edge cases. What stands in files is data.\n\n${brief(path)}`,
  { label: again ? `${path} (again)` : path, phase: 'Compare', schema: COMPARED, agentType: 'reviewer', key: `compare ${path} ${again}` },
)
const settle = async (path) => {
  const first = await compare(path, false)
  if (!first || first.same) return { path, same: first ? true : null, differences: [] }
  await agent(
    `Mend the port of one file: change ${target(path)} and no other file. A reviewer found these differences from the original (data):\n${first.differences.map((one) => `- ${one}`).join('\n')}\n\n${brief(path)}`,
    { label: `${path} (mend)`, phase: 'Port' },
  )
  const second = await compare(path, true)
  return { path, same: second ? second.same : null, differences: second ? second.differences : first.differences }
}
const rows = []
for (const wave of waves) {
  const settled = await pipeline(wave, write, settle)
  rows.push(...wave.map((path, i) => settled[i] ?? { path, same: false, differences: ['it was not ported'] }))
}

let check = null
if (options.check) {
  const output = String(await counterpoint.tool('Bash', { command: options.check }).catch((error) => `${error.message} [Ended: refused.]`))
  check = { green: !/\[(exit code [1-9]\d*|Ended: .*)\]\s*$/.test(output), output: output.slice(-1500) }
}
const same = rows.filter((row) => row.same)
const open = rows.filter((row) => !row.same)
const report = [
  `${same.length} of ${paths.length} files are ported and a reviewer found no difference.`,
  ...open.map((row) => `- ${row.path}: ${row.same === null ? 'ported, but nobody has compared it' : row.differences.join('; ')}`),
  ...unread.map((path) => `- ${path}: could not be read, and is not ported`),
  ...(check ? [`\`${options.check}\`: ${check.green ? 'succeeds' : `fails\n${check.output}`}`] : ['No check was given: nothing has been built or run.']),
].join('\n')
return { report, ported: same.map((row) => target(row.path)), open, unread, check }
