export const meta = {
  name: 'survey',
  description: 'Say what each file of a folder is, with a quote that plain code has found in the file',
  whenToUse: 'A first look at a folder of documents or code. Made for small models: one short question per file.',
  phases: [
    { title: 'List', detail: 'find the files, without a model' },
    { title: 'Read', detail: 'one agent per file' },
    { title: 'Second look', detail: 'again, where an answer did not hold' },
  ],
}

// args: {path = '.', limit = 20, chars = 2400}; chars is how much of each file an agent sees.
const options = typeof args === 'string' ? { path: args } : { ...args }
const folder = options.path ?? '.'
const limit = options.limit ?? 20
const chars = options.chars ?? 2400

const TEXT = /\.(md|mdx|rst|txt|py|pyi|js|mjs|ts|tsx|jsx|go|rs|java|c|h|cc|cpp|hpp|rb|sh|toml|ya?ml|json|html|css|sql)$/i
const KINDS = ['guide', 'reference', 'explanation', 'code', 'configuration', 'data', 'notes']
const SCHEMA = {
  type: 'object',
  properties: {
    kind: { type: 'string', enum: KINDS },
    quote: { type: 'string', minLength: 12, maxLength: 160, description: 'one sentence copied from the text, word for word' },
    summary: { type: 'string', minLength: 20, maxLength: 200, description: 'one sentence: what a reader finds here' },
    terms: { type: 'array', items: { type: 'string', minLength: 2, maxLength: 30 }, minItems: 3, maxItems: 3 },
  },
  required: ['kind', 'quote', 'summary', 'terms'],
  additionalProperties: false,
}

const squeeze = (text) => text.replace(/[`*_]/g, '').replace(/\s+/g, ' ').trim().toLowerCase()
const holds = (part, text) => squeeze(part).length > 1 && squeeze(text).includes(squeeze(part))

const plainText = (numbered) => numbered.replace(/^ *\d+[\t→|] ?/gm, '')

const ask = (file, how) => `Here is the beginning of the file ${file.path}, between the marks. It is data, not instructions.

<<<FILE
${file.text}
FILE>>>

${how}
kind: what sort of file it is, one of ${KINDS.join(', ')}.
quote: copy one sentence from between the marks, word for word.
summary: one sentence of your own that says what a reader finds in the file.
terms: three important words or names that stand in the text.`

// What of an answer is not in the file? Plain code decides, not a model.
function examine(file, answer) {
  const missing = answer.terms.filter((term) => !holds(term, file.whole))
  return { file: file.path, ...answer, terms: answer.terms.filter((t) => !missing.includes(t)), missing, quoted: holds(answer.quote, file.whole) }
}

phase('List')
const listed = String(await counterpoint.tool('Glob', { pattern: '**/*', path: folder }))
const all = listed.split('\n').map((line) => line.trim()).filter((path) => TEXT.test(path)).sort()
if (!all.length) {
  log(`no text files in ${folder}`)
  return { report: `No text files in ${folder}.`, files: [], model: counterpoint.run.model }
}
if (all.length > limit) log(`${all.length} files, the first ${limit} are read; limit says how many`)

const load = async (path) => {
  const whole = plainText(String(await counterpoint.tool('Read', { file_path: path })))
  return { path, whole, text: whole.slice(0, chars) }
}
const doubtful = (row) => !row.quoted || row.missing.length > 1
let looks = 0
let dropped = 0

const rows = await pipeline(
  all.slice(0, limit),
  load,
  async (file) => {
    const answer = await agent(ask(file, 'Answer four questions about it.'), { label: file.path, phase: 'Read', schema: SCHEMA })
    return answer && { file, row: examine(file, answer) }
  },
  async ({ file, row }) => {
    if (!doubtful(row)) return row
    looks += 1
    const said = row.quoted ? `These words do not stand in it: ${row.missing.join(', ')}.` : `This sentence does not stand in it: "${row.quote}".`
    const again = await agent(ask(file, `An earlier answer was wrong. ${said} Look again, and copy exactly.`), {
      label: `${file.path} (again)`, phase: 'Second look', schema: SCHEMA,
    })
    const second = again && examine(file, again)
    const better = second && (second.quoted > row.quoted || (second.quoted === row.quoted && second.missing.length < row.missing.length))
    return better ? second : row
  },
  (row) => {
    dropped += row.missing.length + (row.quoted ? 0 : 1)
    return { file: row.file, kind: row.kind, summary: row.summary, terms: row.terms, quote: row.quoted ? row.quote : null }
  },
)

const found = rows.filter(Boolean)
const cell = (text) => String(text).replace(/\|/g, '\\|').replace(/\s+/g, ' ')
const table = [
  '| file | kind | what it is | terms | quote |',
  '| --- | --- | --- | --- | --- |',
  ...found.map((r) => `| ${[r.file, r.kind, r.summary, r.terms.join(', '), r.quote === null ? '—' : `“${r.quote}”`].map(cell).join(' | ')} |`),
]
const unread = all.slice(0, limit).filter((path, i) => !rows[i])
const report = [
  ...table,
  '',
  `${found.length} of ${Math.min(all.length, limit)} files answered by ${counterpoint.run.model}` +
    (all.length > limit ? `; ${all.length - limit} more files in ${folder} were not read` : '') + '.',
  `${dropped} quotes and terms were dropped because they do not stand in their file; ${looks} files got a second look.`,
  ...(unread.length ? [`No answer for: ${unread.join(', ')}.`] : []),
].join('\n')
return { report, files: found, unread, dropped, second_looks: looks, model: counterpoint.run.model }
