// Checks against typing errors.

/** Adler-32 of the UTF-8 bytes: from 0 to 2**32 - 1. */
export const adler = (text) => {
  let low = 1
  let high = 0
  for (const byte of new TextEncoder().encode(text)) {
    low = (low + byte) % 65521
    high = (high + low) % 65521
  }
  return ((high << 16) | low) >>> 0
}

/** Whether the last figure is the check of the others. */
export const luhn = (digits) => {
  if (!/^\d+$/.test(digits)) throw new RangeError('only figures')
  const doubled = [...digits].reverse().map((digit, n) => Number(digit) * (1 + (n % 2)))
  return doubled.reduce((sum, n) => sum + (n > 9 ? n - 9 : n), 0) % 10 === 0
}
