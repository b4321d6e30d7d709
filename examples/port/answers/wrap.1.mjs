// Text in lines of a width.

/** Words in lines of at most `width` signs; a longer word has a line of its own. */
export const wrap = (text, width) => {
  const lines = []
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (lines.length && lines.at(-1).length + 1 + word.length <= width) lines[lines.length - 1] += ` ${word}`
    else lines.push(word)
  }
  return lines
}
