export const meta = { name: 'child', description: 'a part' }
return [await agent(`child ${args.n}`), 'x'.repeat(70000)]
