// Names for files.
const ACCENTS = { é: 'e', è: 'e', à: 'a', ä: 'a', ö: 'o', ü: 'u' }
export const slug = (text) => text.toLowerCase().replace(/[éèàäöü]/g, (sign) => ACCENTS[sign]).replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
