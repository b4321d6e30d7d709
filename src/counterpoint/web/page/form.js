// A form for a question: from its options, from its JSON Schema, or a plain yes and no.

import { h } from './dom.js'

// `answer(value)` and `deny()` are called with what the person decides.
export function gateForm(gate, { answer, deny }) {
  const wrong = h('p.wrong', { role: 'alert' })
  const no = h('button.quiet', { type: 'button', onclick: deny, title: 'The script hears a rejection' }, 'Deny')
  if (gate.options?.length) {
    const buttons = gate.options.map((option) =>
      h('button.primary', { type: 'button', onclick: () => answer(option) }, typeof option === 'string' ? option : JSON.stringify(option)))
    return h('.gate-form', null, h('.buttons', null, buttons, no))
  }
  if (!gate.schema) {
    const yes = h('button.primary', { type: 'button', onclick: () => answer(true) }, 'Approve')
    return h('.gate-form', null, h('.buttons', null, yes, no))
  }
  const field = fieldFor(gate.schema, '', true)
  const send = (event) => {
    event.preventDefault()
    try {
      wrong.textContent = ''
      answer(field.read())
    } catch (error) {
      wrong.textContent = error.message
    }
  }
  const buttons = h('.buttons', null, h('button.primary', { type: 'submit' }, 'Answer'), no)
  return h('form.gate-form', { onsubmit: send }, field.node, wrong, buttons)
}

// An input for a schema: `node`, and `read()`, which gives the value or throws.
function fieldFor(schema, name, required) {
  const label = schema.title ?? name
  const hint = schema.description ? h('span.hint', null, schema.description) : null
  const named = (input) => h('label.field', null, h('span.name', null, label, required || !label ? '' : ' (optional)'), hint, input)
  const type = Array.isArray(schema.type) ? schema.type.find((each) => each !== 'null') : schema.type
  if (Array.isArray(schema.enum)) return choice(schema, named, required)
  if (type === 'object' && schema.properties) return group(schema, label, hint)
  if (type === 'boolean') {
    const input = h('input', { type: 'checkbox', checked: schema.default === true })
    return { node: h('label.field.check', null, input, h('span.name', null, label), hint), read: () => input.checked }
  }
  if (type === 'integer' || type === 'number') return numeric(schema, type, named, required)
  if (type === 'array' && schema.items?.type === 'string') return lines(schema, named)
  if (type === 'string') return text(schema, named, required)
  return anything(schema, named, label)
}

function choice(schema, named, required) {
  const options = schema.enum.map((value, n) => h('option', { value: String(n), selected: value === schema.default }, String(value)))
  const input = h('select', null, required ? null : h('option', { value: '' }, '—'), options)
  return { node: named(input), read: () => (input.value === '' ? undefined : schema.enum[Number(input.value)]) }
}

function group(schema, label, hint) {
  const needed = new Set(schema.required ?? [])
  const fields = Object.entries(schema.properties).map(([name, each]) => [name, fieldFor(each, name, needed.has(name))])
  const read = () => {
    const value = {}
    for (const [name, field] of fields) {
      const given = field.read()
      if (given !== undefined) value[name] = given
    }
    return value
  }
  return { node: h('fieldset', null, label ? h('legend', null, label) : null, hint, fields.map(([, field]) => field.node)), read }
}

function numeric(schema, type, named, required) {
  const input = h('input', {
    type: 'number', step: type === 'integer' ? '1' : 'any', min: schema.minimum, max: schema.maximum, required, value: schema.default ?? '',
  })
  return { node: named(input), read: () => (input.value === '' ? undefined : Number(input.value)) }
}

function text(schema, named, required) {
  const long = !schema.maxLength || schema.maxLength > 120
  const input = h(long ? 'textarea' : 'input', {
    required, minlength: schema.minLength, maxlength: schema.maxLength, rows: long ? '2' : null, value: schema.default ?? '',
  })
  return { node: named(input), read: () => (input.value === '' && !required ? undefined : input.value) }
}

function lines(schema, named) {
  const input = h('textarea', { rows: '3', placeholder: 'one a line', value: (schema.default ?? []).join('\n') })
  return { node: named(input), read: () => input.value.split('\n').filter((line) => line !== '') }
}

function anything(schema, named, label) {
  const input = h('textarea', { rows: '3', spellcheck: 'false', placeholder: 'JSON', value: 'default' in schema ? JSON.stringify(schema.default) : '' })
  const read = () => {
    if (input.value.trim() === '') return undefined
    try {
      return JSON.parse(input.value)
    } catch (error) {
      throw new Error(`${label || 'The answer'} is no JSON: ${error.message}`)
    }
  }
  return { node: named(input), read }
}
