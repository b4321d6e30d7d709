// Text in lines of a width.

// Signs as Python counts them: code points, not UTF-16 units.
const signs = (text) => [...text].length

/** Words in lines of at most `width` signs; a longer word has a line of its own. */
export const wrap = (text, width) => {
  const lines = []
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (lines.length && signs(lines.at(-1)) + 1 + signs(word) <= width) lines[lines.length - 1] += ` ${word}`
    else lines.push(word)
  }
  return lines
}
