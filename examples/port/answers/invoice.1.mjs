// An invoice as text.
import { adler } from './checksum.mjs'
import { due, toNumber } from './dates.mjs'
import { tax } from './money.mjs'
import { roman } from './roman.mjs'
import { table } from './table.mjs'

/** Its lines: head, items, tax and sum, the day that it is due, a check of all that. */
export const invoice = (number, date, items, percent) => {
  const total = items.reduce((sum, [, cents]) => sum + cents, 0)
  const added = tax(total, percent)
  const lines = [`Invoice ${roman(number)}`, ...table([...items, ['tax', added], ['sum', total + added]], 16)]
  lines.push(`due on day ${due(toNumber(...date), 14)}`)
  return [...lines, `check ${adler(lines.join('\n')).toString(16).padStart(8, '0')}`]
}
