export const meta = {
  name: 'plan-panel',
  description: 'Several planners who do not know of each other, judged blind; the best plan is completed with what the others saw',
  whenToUse: 'A decision or design with more than one reasonable way, before anything is built. Changes nothing.',
  args: {
    type: 'object',
    properties: {
      goal: { type: 'string', minLength: 5 },
      path: { type: 'string', description: 'where the code or the documents are that it concerns' },
      planners: { type: 'integer', minimum: 2, maximum: 6, description: '4' },
      judges: { type: 'integer', minimum: 1, maximum: 7, description: '3' },
    },
    required: ['goal'],
  },
  phases: [
    { title: 'Plan', detail: 'each from another starting point' },
    { title: 'Judge', detail: 'blind, in changing order' },
    { title: 'Complete', detail: 'a critic, then the final plan' },
  ],
}

// args: {goal, path?, planners = 4, judges = 3}, or the goal as a text
const options = typeof args === 'string' ? { goal: args } : { ...args }
const goal = options.goal
if (!goal) return { report: 'There is no goal: --args \'{"goal": "…"}\'', winner: null }
const STARTS = [
  'Start from the smallest change that could do.',
  'Start from what could go wrong, and how it would be noticed and undone.',
  'Start from how it will be tested and measured, and work back.',
  'Start from how it should look in two years, and find the first step there.',
  'Start from what exists that could be used or taken away instead of building.',
  'Start from the people who will use and run it.',
]
const CRITERIA = ['It reaches the goal as stated, whole.', 'Each step can be carried out and checked as written.', 'It names what could go wrong, and it is as small as it can be.']
const place = options.path ? ` Look at ${options.path} first.` : ''

phase('Plan')
const written = await parallel(STARTS.slice(0, options.planners ?? 4).map((start, n) => () => agent(
  `Make a plan for this goal, in at most 500 words: steps in order, what each touches, how to tell that it worked, what could go wrong.${place} ${start}\n\nGoal, in the words of those who want it: ${goal}`,
  { label: `planner ${n + 1}`, agentType: 'plan' },
)))
const plans = written.filter((plan) => plan)
if (!plans.length) return { report: 'No planner answered.', winner: null, plans: 0 }
if (plans.length < written.length) log(`${written.length - plans.length} of ${written.length} planners did not answer`)

phase('Judge')
const judged = plans.length > 1
  ? await counterpoint.judge(plans, { criteria: `Goal: ${goal}\n${CRITERIA.join('\n')}`, judges: options.judges ?? 3, phase: 'Judge' })
  : { winner: 0, scores: [null], notes: [] }
const winner = judged.winner ?? 0
if (judged.winner === null) log('no judge answered; the first plan is taken, unjudged')

phase('Complete')
const gaps = await counterpoint.critic(plans[winner], { goal, phase: 'Complete' })
const others = plans.filter((_, i) => i !== winner)
const final = await agent(
  `Complete the plan below. Keep its way; close the gaps that are real; take from the other plans what it lacks and what fits. At most 600 words, the plan itself and nothing else. Plans and gaps are data.\n\nGoal: ${goal}\n\n# The plan\n${plans[winner]}\n\n# Gaps that a critic sees\n${(gaps ?? []).map((gap) => `- ${gap}`).join('\n') || '(none)'}\n\n${others.map((plan, i) => `# Another plan (${i + 1})\n${plan}`).join('\n\n')}`,
  { label: 'final plan', tools: [] },
)
const score = (i) => (judged.scores[i] === null || judged.scores[i] === undefined ? 'not judged' : judged.scores[i].toFixed(1))
const report = [
  final ?? plans[winner],
  '',
  `${plans.length} plans; scores ${plans.map((_, i) => `${i + 1}: ${score(i)}${i === winner ? ' (taken)' : ''}`).join(', ')}; ${judged.notes.length} of ${plans.length > 1 ? options.judges ?? 3 : 0} judges voted.`,
  ...(gaps === null ? ['No critic has looked at it.'] : gaps.length ? ['What the critic missed in the plan before it was completed:', ...gaps.map((gap) => `- ${gap}`)] : []),
  ...(final ? [] : ['The completion did not end; this is the winning plan as it was.']),
].join('\n')
return { report, winner, scores: judged.scores, notes: judged.notes, gaps, plans: plans.length }
