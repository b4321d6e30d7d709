// Days of the proleptic Gregorian calendar, as numbers: day 0 is 1970-01-01.
import { floorDiv, mod } from './python.mjs'

/** The number of a day; negative before 1970. */
export const toNumber = (year, month, day) => {
  const shifted = month <= 2 ? year - 1 : year
  const era = floorDiv(shifted, 400)
  const ofEra = shifted - era * 400
  const ofYear = floorDiv(153 * mod(month + 9, 12) + 2, 5) + day - 1
  return era * 146097 + ofEra * 365 + floorDiv(ofEra, 4) - floorDiv(ofEra, 100) + ofYear - 719468
}

/** 0 for Monday to 6 for Sunday. */
export const weekday = (number) => mod(number + 3, 7)

/** The day that an invoice is due: so many days later, and never on a weekend. */
export const due = (number, days) => {
  const later = number + days
  return weekday(later) > 4 ? later + 7 - weekday(later) : later
}
