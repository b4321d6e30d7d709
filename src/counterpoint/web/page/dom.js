// Elements from plain values. Text goes in as text, never as markup, and only after `visible`: what a model writes can
// neither become an element nor turn the line around.

import { visible } from './text.js'

const SVG = 'http://www.w3.org/2000/svg'

// h('button.primary', {onclick, title}, 'text', child, [more])
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.')
  const node = document.createElement(tag || 'div')
  if (classes.length) node.className = classes.join(' ')
  for (const [key, value] of Object.entries(props ?? {})) setProperty(node, key, value)
  append(node, children)
  return node
}

function setProperty(node, key, value) {
  if (value === null || value === undefined || value === false) return
  if (key.startsWith('on')) node.addEventListener(key.slice(2), value)
  else if (key === 'class') node.className = `${node.className} ${value}`.trim()
  else if (key === 'style') for (const [name, each] of Object.entries(value)) node.style.setProperty(name, each)
  else if (key === 'value' || key === 'checked' || key === 'selected') node[key] = value
  else node.setAttribute(key, value === true ? '' : visible(value))
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue
    node.append(child instanceof Node ? child : document.createTextNode(visible(child)))
  }
  return node
}

export function fill(node, ...children) {
  node.replaceChildren()
  return append(node, children)
}

export function setText(node, value) {
  const text = visible(value)
  if (node.textContent !== text) node.textContent = text
}

// Builds a part of the page anew only when what it shows has changed.
export class Part {
  constructor(node, build) {
    this.node = node
    this.build = build
    this.key = undefined
  }

  show(key, ...values) {
    const text = typeof key === 'string' ? key : JSON.stringify(key)
    if (text === this.key) return
    this.key = text
    const scroll = this.node.scrollTop
    fill(this.node, this.build(...values))
    this.node.scrollTop = scroll
  }
}

export function logo() {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 16 16')
  svg.setAttribute('aria-hidden', 'true')
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('d', 'M2 4h8M5 8h9M2 12h6')
  svg.append(path)
  return svg
}
