export const meta = {
  name: 'demo',
  description: 'What a large run looks like: simulated agents look for faults, doubt each other, and mend what stands',
  whenToUse: 'To see the terminal UI and the web page at work, with `counterpoint demo`; its answers mean nothing.',
  args: {
    type: 'object',
    properties: {
      agents: { type: 'integer', minimum: 4, default: 60, description: 'about how many' },
      ask: { type: 'boolean', default: false, description: 'ask a person in the middle' },
    },
  },
  phases: [
    { title: 'Scope', detail: 'one agent names the parts' },
    { title: 'Find', detail: 'an agent for each part' },
    { title: 'Refute', detail: 'skeptics attack each finding' },
    { title: 'Fix', detail: 'what stands is mended' },
    { title: 'Report', detail: 'one synthesis' },
  ],
}

const { agents = 60, ask = false } = args ?? {}
const AREAS = ['session', 'tokens', 'login', 'cache', 'export', 'import', 'billing', 'search', 'webhooks', 'uploads', 'quota', 'audit', 'mail', 'roles', 'sync', 'jobs']
const WRONG = ['a check after the cache lookup', 'a missing lock', 'an unbounded read', 'a race on logout', 'a wrong default', 'a leak of a handle', 'an error swallowed', 'a stale index']
const FINDING = { type: 'object', properties: { file: { type: 'string' }, claim: { type: 'string', maxLength: 90 }, sure: { type: 'number', minimum: 0, maximum: 1 } }, required: ['file', 'claim', 'sure'] }

const found = Math.max(1, Math.round(agents * 0.3))
const claims = Math.max(1, Math.round(agents * 0.18))
const VOTES = 3
const fixes = Math.max(0, agents - found - claims * VOTES - 2)
const area = (n) => `${AREAS[n % AREAS.length]}/${1 + Math.floor(n / AREAS.length)}`

phase('Scope')
await agent('Name the parts of this program, one a line.', { label: 'scope' })

log(`${found} parts, ${claims} claims with ${VOTES} skeptics each, ${fixes} fixes`)
phase('Find')
const findings = await parallel(Array.from({ length: found }, (_, n) => () =>
  agent(`Look for faults in part ${area(n)}. Suspect: ${WRONG[n % WRONG.length]}. Give the file, the claim, and how sure you are.`, { label: `find ${area(n)}`, phase: 'Find', schema: FINDING })))

phase('Refute')
const verdicts = await parallel(Array.from({ length: claims }, (_, n) => () =>
  counterpoint.verify(`${area(n)}: ${WRONG[n % WRONG.length]}`, { votes: VOTES, phase: 'Refute' })))
const standing = verdicts.filter((each) => each?.verdict === 'confirmed').length
log(`${standing} of ${claims} claims stand`)

if (ask) {
  const go = await counterpoint.checkpoint(`Apply ${fixes} patches?`, { options: ['apply them', 'leave them'], default: 'apply them' })
  log(`a person says: ${go}`)
}

phase('Fix')
await parallel(Array.from({ length: fixes }, (_, n) => () => agent(`Mend ${area(n)}.`, { label: `fix ${area(n)}`, phase: 'Fix' })))

phase('Report')
const report = await agent('Say in three sentences what was found and mended.', { label: 'report' })
return { report, found, standing, simulated: true }
