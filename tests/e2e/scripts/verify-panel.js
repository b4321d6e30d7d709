export const meta = {
  name: 'verify-panel',
  description: 'Findings, each attacked by three skeptics with different lenses; a majority decides; a dead skeptic is no vote',
  phases: [{ title: 'Find' }, { title: 'Verify' }, { title: 'Report' }],
  agents: 14,
  expect: { confirmed: ['real'], refuted: ['false alarm'], unverified: ['nobody knows'], report: 'string' },
}

const LENSES = ['correctness', 'security', 'reproducibility']
// What the three will say of each finding; null: this one cannot answer.
const CLAIMS = { real: [false, true, false], 'false alarm': [true, true, false], 'nobody knows': [true, null, null] }
const verdict = (refuted) => ({ type: 'object', properties: { refuted: { const: refuted }, reason: { type: 'string', maxLength: 40 } }, required: ['refuted', 'reason'] })
const out = { confirmed: [], refuted: [], unverified: [] }

phase('Find')
const found = await pipeline(
  Object.keys(CLAIMS),
  (claim) => agent(`find ${claim}`, { label: claim, phase: 'Find', schema: { type: 'object', properties: { claim: { const: claim } }, required: ['claim'] } }),
  async ({ claim }) => {
    const votes = await parallel(
      CLAIMS[claim].map((says, i) => () =>
        says === null
          ? agent('a skeptic that cannot answer', { label: `dead ${i}`, agentType: 'nobody' })
          : agent(`refute as an expert of ${LENSES[i]}: ${claim}`, { label: `${LENSES[i]}: ${claim}`, phase: 'Verify', schema: verdict(says) })),
    )
    const cast = votes.filter(Boolean), against = cast.filter((vote) => vote.refuted).length
    return { claim, result: cast.length < 2 ? 'unverified' : against > cast.length / 2 ? 'refuted' : 'confirmed' }
  },
)
for (const { claim, result } of found) out[result].push(claim)
phase('Report')
const reports = await parallel(['draft', 'critic', 'final', 'check'].map((role) => () => agent(`${role}: ${JSON.stringify(out)}`)))
return { ...out, report: typeof reports[2] }
