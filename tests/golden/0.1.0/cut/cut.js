export const meta = { name: 'cut', description: 'killed in its middle' }
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const race = await Promise.race([agent('the quick one').then(() => 'agent'), wait(60000).then(() => 'timer')])
const many = await parallel(Array.from({ length: 20 }, (_, i) => () => agent(`task ${i}`)))
return { race, many, chance: Math.random() }
