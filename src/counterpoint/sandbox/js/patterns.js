// What checks and widens the work of agents: verify, judge, converge, critic. Plain JavaScript over agent() and
// parallel(), so the journal needs no notion of them, and a skeptic or judge is an agent like any other.
(function () {
  'use strict'
  const define = Object.defineProperty
  const shown = (value) => typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? String(value)
  const section = (title, value) => value === undefined ? '' : `\n\n# ${title}\n${Array.isArray(value) && value.every((item) => typeof item === 'string') ? value.map((item) => `- ${item}`).join('\n') : shown(value)}`
  const count = (value, name) => {
    if (!Number.isInteger(value) || value < 1) throw new TypeError(`${name} must be a whole number of at least 1, not ${shown(value)}.`)
    return value
  }
  const object = (properties) => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false })
  // The options that go on to each agent, with its label.
  const options = ({ model, effort, agentType, phase }, label, schema) => ({ model, effort, agentType, phase, label, schema })

  define(globalThis, '__patterns', { configurable: true, value: ({ agent, parallel }) => ({
    // Skeptics who do not know of each other try to refute a claim; who died has no vote.
    verify: async (claim, given = {}) => {
      const { lenses = [], evidence, schema } = given
      if (!Array.isArray(lenses)) throw new TypeError('verify(): lenses must be an array of texts.')
      const votes = count(given.votes ?? Math.max(3, lenses.length), 'verify(): votes')
      const quorum = count(given.quorum ?? Math.floor(votes / 2) + 1, 'verify(): quorum')
      const base = object({ refuted: { type: 'boolean', description: 'true if the claim does not hold' }, reason: { type: 'string' } })
      const answer = schema === undefined ? base : { ...schema, type: 'object', properties: { ...schema.properties, ...base.properties }, required: [...new Set([...base.required, ...(schema.required ?? [])])] }
      const ask = (n) => () => agent(
        `Try to refute the claim below. Look for what is wrong with it; check it yourself instead of trusting how it is put. Say that it is refuted only if you found a reason that holds; a doubt that you cannot support is none.${section('Claim', claim)}${section('Evidence', evidence)}${lenses.length ? section('Look at it from this side', lenses[n % lenses.length]) : ''}`,
        options(given, `verify ${n + 1}/${votes}`, answer))
      const cast = (await parallel(Array.from({ length: votes }, (_, n) => ask(n)))).filter((vote) => vote !== null)
      const against = cast.filter((vote) => vote.refuted).length
      const enough = (part) => cast.length >= quorum && part * 2 > cast.length
      const verdict = enough(against) ? 'refuted' : enough(cast.length - against) ? 'confirmed' : 'unverified'
      const result = { verdict, votes: cast.length, reasons: cast.map((vote) => vote.reason) }
      return schema === undefined ? result : { ...result, answers: cast }
    },

    // A panel that sees the candidates under neutral names, each judge in another order; scores are means from 0 to 10.
    judge: async (candidates, given = {}) => {
      if (!Array.isArray(candidates) || !candidates.length) throw new TypeError('judge() takes an array of candidates, at least one.')
      const { criteria = 'How well it does what it is meant to do.' } = given
      const judges = count(given.judges ?? 3, 'judge(): judges')
      const size = candidates.length
      const order = (n) => {
        const turned = candidates.map((_, i) => (i + Math.floor(n / 2)) % size)
        return n % 2 ? turned.reverse() : turned
      }
      const schema = object({ scores: { type: 'array', items: { type: 'number', minimum: 0, maximum: 10 }, minItems: size, maxItems: size, description: 'one score from 0 to 10 for each candidate, in the order shown' }, note: { type: 'string', description: 'what decided it' } })
      const ask = (n) => () => agent(
        `Score ${size} candidates, each on its own merits. Neither the order nor the length of a candidate says anything about it.${section('Criteria', criteria)}${order(n).map((i, place) => section(`Candidate ${place + 1}`, candidates[i])).join('')}`,
        options(given, `judge ${n + 1}/${judges}`, schema))
      const sheets = await parallel(Array.from({ length: judges }, (_, n) => ask(n)))
      const sums = candidates.map(() => 0)
      const cast = sheets.filter((sheet) => sheet !== null)
      sheets.forEach((sheet, n) => { if (sheet !== null) order(n).forEach((i, place) => { sums[i] += sheet.scores[place] }) })
      const scores = sums.map((sum) => cast.length ? sum / cast.length : null)
      return { winner: cast.length ? scores.indexOf(Math.max(...scores)) : null, scores, notes: cast.map((sheet) => sheet.note) }
    },

    // Rounds until `quiet` of them in a row bring nothing that was not seen before.
    converge: async (round, { quiet = 2, maxRounds = Infinity, key = (item) => item } = {}) => {
      if (typeof round !== 'function' || typeof key !== 'function') throw new TypeError('converge() takes a function (n, seen) => items, and as `key` a function of an item.')
      count(quiet, 'converge(): quiet')
      if (maxRounds !== Infinity) count(maxRounds, 'converge(): maxRounds')
      const found = [], keys = new Set()
      for (let n = 0, silent = 0; n < maxRounds && silent < quiet; n++) {
        const items = (await round(n, [...found])) ?? []
        if (!Array.isArray(items)) throw new TypeError(`converge(): round ${n} gave ${typeof items}; it must give an array of items.`)
        const before = found.length
        for (const item of items) {
          if (item === null || item === undefined) continue
          const id = key(item), name = typeof id === 'string' ? id : JSON.stringify(id)
          if (keys.has(name)) continue
          keys.add(name)
          found.push(item)
        }
        silent = found.length === before ? silent + 1 : 0
      }
      return found
    },

    // What an answer leaves out; null when the critic died, which says nothing about the answer.
    critic: async (answer, given = {}) => {
      const schema = object({ gaps: { type: 'array', items: { type: 'string' }, description: 'each gap in one sentence; empty where nothing is missing' } })
      const said = await agent(
        `Say what is missing from the answer below: what the goal asks for and the answer does not give, what it takes for granted without having looked, what was left half done. Do not repeat what is there, and do not invent gaps.${section('Goal', given.goal)}${section('Answer', answer)}`,
        options(given, 'critic', schema))
      return said === null ? null : said.gaps
    },
  }) })
})()
