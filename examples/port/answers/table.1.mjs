// Items and amounts in two columns.
import { show } from './money.mjs'
import { wrap } from './wrap.mjs'

const padEnd = (text, width) => text + ' '.repeat(Math.max(0, width - [...text].length))

/** A line or more for each row: its text wrapped at the left, its amount at the right of the last line. */
export const table = (rows, width) => {
  const amounts = rows.map(([, cents]) => show(cents))
  const right = Math.max(0, ...amounts.map((amount) => amount.length))
  return rows.flatMap(([text], i) => {
    const wrapped = wrap(text, width) || ['']
    return [...wrapped.slice(0, -1), `${padEnd(wrapped.at(-1), width)} ${amounts[i].padStart(right)}`]
  })
}
