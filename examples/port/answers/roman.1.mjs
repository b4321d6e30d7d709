// Roman numerals, for chapters of a contract.
const SIGNS = [
  [1000, 'M'], [900, 'CM'], [500, 'D'], [400, 'CD'], [100, 'C'], [90, 'XC'], [50, 'L'], [40, 'XL'], [10, 'X'], [9, 'IX'], [5, 'V'],
  [4, 'IV'], [1, 'I'],
]

/** From 1 to 3999. */
export const roman = (number) => {
  if (!(number > 0 && number < 4000)) throw new RangeError('only 1 to 3999 have a numeral')
  let text = ''
  let left = number
  for (const [value, sign] of SIGNS) {
    text += sign.repeat(Math.floor(left / value))
    left %= value
  }
  return text
}
