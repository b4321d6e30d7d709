// Arithmetic as Python has it: division goes down, a remainder has the sign of the divisor.
export const floorDiv = (a, b) => Math.floor(a / b)
export const mod = (a, b) => a - b * Math.floor(a / b)
