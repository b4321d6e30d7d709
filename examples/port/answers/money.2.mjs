// Amounts in cents.
import { divmod } from './python.mjs'

/** A total in equal parts that add up to it: the first ones are a cent larger. */
export const split = (total, parts) => {
  if (parts < 1) throw new RangeError('parts must be positive')
  const [each, left] = divmod(total, parts)
  return Array.from({ length: parts }, (_, n) => each + (n < left ? 1 : 0))
}

/** Half a cent goes to the even neighbour. */
export const tax = (cents, percent) => {
  const [whole, rest] = divmod(cents * percent, 100)
  return rest > 50 || (rest === 50 && whole % 2 !== 0) ? whole + 1 : whole
}

/** Such as -1,234.05. */
export const show = (cents) => {
  const [whole, rest] = divmod(Math.abs(cents), 100)
  return `${cents < 0 ? '-' : ''}${String(whole).replace(/\B(?=(\d{3})+$)/g, ',')}.${String(rest).padStart(2, '0')}`
}
