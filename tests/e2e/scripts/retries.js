export const meta = {
  name: 'retries',
  description: 'A helper that asks again, after a pause, where an agent gave null; a breaker that stops when too many batches fail',
  model: 'sim:seed=3,null=0.4',
  status: 'partial',
  expect: { answered: 12, open: false, batches: [1, 2, 4, 5] },
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const ask = async (prompt, options = {}, tries = 8) => {
  for (let attempt = 0; attempt < tries; attempt++) {
    const answer = await agent(prompt, attempt ? { ...options, label: `${options.label}:retry${attempt}` } : options)
    if (answer !== null) return answer
    await sleep(2 ** attempt)
  }
  return null
}
let answered = 0, open = false
const batches = []
for (let size = 1, done = 0; done < 12 && !open; size = Math.min(size * 2, 12 - done)) {
  const answers = await parallel(Array.from({ length: size }, (_, i) => () => ask(`unit ${done + i}`, { label: `unit ${done + i}` })))
  const good = answers.filter((answer) => answer !== null).length
  answered += good
  done += size
  batches.push(size)
  open = good / size < 2 / 3
}
return { answered, open, batches }
