// What Python has and JavaScript has not.

/** Quotient and remainder; the quotient goes down. */
export const divmod = (a, b) => {
  const quotient = Math.floor(a / b)
  return [quotient, a - quotient * b]
}
