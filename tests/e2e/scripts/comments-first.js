// A comment before meta,
/* and another
   over lines */ // and one more
export const meta = {
  name: 'comments-first',
  description:
    'Texts and members that stand on lines of their own, ' /* a comment inside */,
  whenToUse: `a template without a substitution`,
  phases: [
    // a comment between elements
    { title: 'One', detail: "it's quoted", model: 'haiku' },
  ],
  'quoted-key': { deep: [1, -2.5, 0x10, 1_000, true, false, null, [], {}] },
  expect: { name: 'comments-first', deep: [1, -2.5, 16, 1000, true, false, null, [], {}] },
};

// meta may be read in the body here; elsewhere it may be absent.
phase('One');
return { name: meta.name, deep: meta['quoted-key'].deep };
