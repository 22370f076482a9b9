/** Between which comments of docs/revocation.md the figures stand. */
export const figuresName = 'figures of the demo'

/** Puts text between the two comments that name its place. @throws Error when they are not there. */
export const writeDocs = async (path: string, text: string): Promise<void> => {
  const page = await Bun.file(path).text()
  const [begin, end] = [`<!-- begin ${figuresName} -->`, `<!-- end ${figuresName} -->`]
  const [start, stop] = [page.indexOf(begin), page.indexOf(end)]
  if (start < 0 || stop < start) throw new Error(`${path} has no place for ${figuresName}`)
  await Bun.write(path, `${page.slice(0, start + begin.length)}\n\n${text}\n\n${page.slice(stop)}`)
}
