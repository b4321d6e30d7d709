export const meta = {
  name: 'survey',
  description: 'Say what each file of a folder is, with a quote that plain code has found in the file',
  whenToUse: 'A first look at a folder of documents or code. Made for small models: one short question per file.',
  args: {
    type: 'object',
    properties: {
      path: { type: 'string', default: '.', description: 'folder whose files are looked at' },
      limit: { type: 'integer', minimum: 1, default: 20, description: 'files at most' },
      chars: { type: 'integer', minimum: 100, default: 2000, description: 'of each file that an agent sees' },
    },
  },
  phases: [
    { title: 'List', detail: 'find the files, without a model' },
    { title: 'Read', detail: 'one agent per file' },
    { title: 'Second look', detail: 'again, at less text, where an answer did not hold' },
  ],
}

// args: see meta.args, or the folder as a text
const options = typeof args === 'string' ? { path: args } : { ...args }
const folder = options.path ?? '.'
const limit = options.limit ?? 20
const chars = options.chars ?? 2000

const TEXT = /\.(md|mdx|rst|txt|py|pyi|js|mjs|ts|tsx|jsx|go|rs|java|c|h|cc|cpp|hpp|rb|sh|toml|ya?ml|json|html|css|sql)$/i
const FILES = '**/*.{md,mdx,rst,txt,py,pyi,js,mjs,ts,tsx,jsx,go,rs,java,c,h,cc,cpp,hpp,rb,sh,toml,yml,yaml,json,html,css,sql}'
const PROSE = /\.(md|mdx|rst|txt)$/i
const RUN = 6 // words in a row that a quote must share with its file, and half of its own
const QUOTE = 40 // words of a quote that are shown
const ENDS = /[.!?]["')\]]*$/ // of a sentence

// A small model writes the keys in this order, and does each better when it has done the one before.
const SCHEMA = {
  type: 'object',
  properties: {
    summary: { type: 'string', minLength: 20, maxLength: 200 },
    keywords: { type: 'array', items: { type: 'string', minLength: 3, maxLength: 30 }, minItems: 3, maxItems: 3 },
    quote: { type: 'string', minLength: 20, maxLength: 200 },
  },
  required: ['summary', 'keywords', 'quote'],
  additionalProperties: false,
}

// --- a file, as it is asked about ------------------------------------------------------------------------------------

// Only rows with a number are of the file; the others are remarks of the tool.
const rows = (numbered) => numbered.split('\n').filter((row) => /^ *\d+\t/.test(row)).map((row) => row.replace(/^ *\d+\t/, ''))

// Prose without its markup and examples, which a small model takes for the matter.
const readable = (line) => line
  .replace(/^[ |:-]+$/, '')
  .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
  .replace(/[`*|]/g, '')
  .replace(/^ *#+ */, '')
  .replace(/[ \t]+/g, ' ')
  .trim()

function withoutExamples(lines) {
  let inside = false
  return lines.map((line) => {
    const fence = /^ *(```|~~~)/.test(line)
    if (fence) inside = !inside
    return fence || inside ? '' : line
  })
}

// Whether no sentence goes on from the line above: after a blank line; a heading, row or item, and what follows one.
const STANDS_ALONE = /^ *(#|\||$)/
const begins = (line, above) => STANDS_ALONE.test(line) || STANDS_ALONE.test(above ?? '') || /^ *([-*+]|\d+\.) /.test(line)

async function load(path) {
  const all = rows(String(await counterpoint.tool('Read', { file_path: path })))
  const prose = PROSE.test(path)
  const lines = prose ? withoutExamples(all) : all
  const plain = prose ? lines.map(readable) : lines
  const words = plain.flatMap((line, i) => (line.match(/\S+/g) ?? []).map(
    (word, n) => ({ word, bare: bare(word), first: n === 0 && (!prose || begins(lines[i], lines[i - 1])) }),
  ))
  return { path, text: plain.join('\n').replace(/\n{2,}/g, '\n').trim(), words, length: lines.length }
}

const ask = (file, length) => `The beginning of ${file.path}:

<text>
${file.text.slice(0, length)}
</text>

Summarize the text in one sentence. List three keywords that stand in it. Quote its most important sentence, word for word.`

// --- what of an answer is in the file: plain code decides, not a model -----------------------------------------------

const bare = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, ' ').trim()
const holds = (part, file) => bare(part) !== '' && ` ${bare(file.text)} `.includes(` ${bare(part)} `)

// The longest run of the quote's words that stands in the file, as the file has it, up to the ends of its sentence.
function findQuote(quote, file) {
  const said = (quote.match(/\S+/g) ?? []).map(bare)
  let best = { length: 0, end: 0 }
  let above = []
  for (const word of said) {
    const row = file.words.map((there, i) => (there.bare === word ? (above[i - 1] ?? 0) + 1 : 0))
    row.forEach((length, i) => { if (length > best.length) best = { length, end: i + 1 } })
    above = row
  }
  if (best.length < RUN || best.length * 2 < said.length) return null
  return sentence(file.words, best.end - best.length, best.end)
}

function sentence(words, from, to) {
  const begun = (i) => i <= 0 || words[i].first || ENDS.test(words[i - 1].word)
  const ended = (i) => i >= words.length || begun(i)
  while (!begun(from) && to - from < QUOTE) from -= 1
  while (!ended(to) && to - from < QUOTE) to += 1
  return `${begun(from) ? '' : '… '}${words.slice(from, to).map(({ word }) => word).join(' ')}${ended(to) ? '' : ' …'}`
}

// Whole sentences from the start, enough to say something, and no half of one.
const shortened = (text) => text.trim().match(/^.{40,}?[.!?](?=\s|$)/s)?.[0] ?? text.trim()

// A summary is in the model's own words; but one that shares none of its longer words with the file is of something else.
function speaksOf(summary, file) {
  const longer = bare(summary).split(' ').filter((word) => word.length > 4)
  return !summary.trim().endsWith('?') && longer.some((word) => holds(word, file))
}

function examine(file, answer) {
  const keywords = [...new Set(answer.keywords.map((word) => word.trim()))]
  const missing = keywords.filter((word) => !holds(word, file))
  return {
    file: file.path, lines: file.length, summary: speaksOf(answer.summary, file) ? shortened(answer.summary) : null,
    keywords: keywords.filter((word) => !missing.includes(word)), missing, quote: findQuote(answer.quote, file), answer,
  }
}

const faults = (row) => (row.summary === null) + row.missing.length + (row.quote === null)
const doubtful = (row) => row.summary === null || row.quote === null || row.missing.length > 1

function complaint(row) {
  const words = [...row.missing, ...(row.quote === null ? [row.answer.quote] : []), ...(row.summary === null ? [row.answer.summary] : [])]
  return `An earlier answer was wrong: ${words.map((said) => `"${said}"`).join(' and ')} ${words.length > 1 ? 'are' : 'is'} not in the text. Copy exactly.`
}

// --- the work --------------------------------------------------------------------------------------------------------

phase('List')
const listed = String(await counterpoint.tool('Glob', { pattern: FILES, path: folder })).split('\n').map((line) => line.trim())
const cut = listed.find((line) => /^\[[\d,]+ of [\d,]+ files/.test(line)) // the tool's remark: there are more than it lists
const all = listed.filter((path) => TEXT.test(path)).sort()
if (!all.length) {
  log(`no text files in ${folder}`)
  return { report: `No text files in ${folder}.`, files: [], model: counterpoint.run.model }
}
const chosen = all.slice(0, limit)
if (all.length > limit) log(`${all.length} files, the first ${limit} are read; limit says how many`)

let looks = 0
const examined = await pipeline(
  chosen,
  load,
  async (file) => {
    const answer = await agent(ask(file, chars), { label: file.path, phase: 'Read', schema: SCHEMA })
    return answer && { file, row: examine(file, answer) }
  },
  async ({ file, row }) => {
    if (!doubtful(row)) return row
    looks += 1
    const again = await agent(`${ask(file, Math.ceil(chars / 2))} ${complaint(row)}`, {
      label: `${file.path} (again)`, phase: 'Second look', schema: SCHEMA,
    })
    const second = again && examine(file, again)
    return second && faults(second) < faults(row) ? second : row
  },
)

const found = examined.filter(Boolean)
const dropped = found.reduce((sum, row) => sum + faults(row), 0)
const unread = chosen.filter((path, i) => !examined[i])
const cell = (text) => String(text).replace(/\|/g, '\\|').replace(/\s+/g, ' ')
const shown = (row) => [row.file, row.lines, row.summary ?? '—', row.keywords.join(', ') || '—', row.quote === null ? '—' : `“${row.quote}”`]
const report = [
  '| file | lines | what it is | keywords | quote |',
  '| --- | --- | --- | --- | --- |',
  ...found.map((row) => `| ${shown(row).map(cell).join(' | ')} |`),
  '',
  `${found.length} of ${chosen.length} files answered by ${counterpoint.run.model}` +
    (all.length > limit ? `; ${all.length - limit} more files in ${folder} were not read` : '') + '.',
  `Dropped because they do not stand in their file: ${dropped} of ${5 * found.length} answers. Looked at again: ${looks} files.`,
  ...(/^sim(:|$)/.test(counterpoint.run.model) ? ['No model was asked: sim makes its answers up, so hardly any can stand in its file.'] : []),
  ...(cut ? [`Not all files were listed: ${cut}`] : []),
  ...(unread.length ? [`No answer for: ${unread.join(', ')}.`] : []),
].join('\n')
const files = found.map(({ file, lines, summary, keywords, quote }) => ({ file, lines, summary, keywords, quote }))
return { report, files, unread, dropped, second_looks: looks, model: counterpoint.run.model }
