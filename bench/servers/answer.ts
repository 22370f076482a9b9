/** What every server of the benchmark answers with, so that they differ in how they get there alone. */
export const answer = () => ({ id: 'item_1', name: 'An item', amount: 12, tags: ['red', 'small'] })

/** Where they answer it. */
export const path = '/items/1'
/** And where it takes a credit of a metered key. */
export const costlyPath = '/costly-items/1'
