import type { After, Summary } from './summary.ts'

const milliseconds = (value: number | null, never: string): string =>
  value === null ? never : Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0)
const letInAt = (value: number | null): string => milliseconds(value, 'none')
const refusedAt = (value: number | null): string => milliseconds(value, 'never')
const at = (value: number | null): string => milliseconds(value, '')

const yes = (held: boolean): string => (held ? 'yes' : '**NO**')

/** A Markdown table whose columns stand under each other in a terminal too. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = head.map((name, column) =>
    Math.max(name.length, 3, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

/** Lines of prose as long as those of the page around them. */
const wrap = (text: string): string => text.replace(/(?![^\n]{1,118}$)([^\n]{1,118}) /g, '$1\n')

const each = (after: readonly After[], pick: (one: After) => string): string => after.map(pick).join(' · ')

/** Everything that a run found, as the tables of docs/revocation.md. */
export const render = (summary: Summary): string => {
  const { changes, outages, crashes, bystander } = summary
  const count = (value: number): string => value.toLocaleString('en')
  return [
    wrap(
      `Made on ${summary.at.slice(0, 10)} by \`bun run demo:revocation --write-docs\` on ${summary.machine}: ` +
        `${count(summary.requests)} requests, ${count(Math.round(summary.achievedRate))} a second where ` +
        `${count(summary.askedRate)} were asked for, over at most ${summary.connections} connections to each of two services. ` +
        `Around its change each credential was used about every ${summary.resolutionMs.toFixed(0)} ms on each service, which is how ` +
        'fine these times are.',
    ),
    wrap(
      '**Changes.** Milliseconds from the acknowledgement of the change to the sending of the last request that was let in, and of ' +
        'the first that was refused (negative: before the acknowledgement had arrived); the worst of all credentials, first service · ' +
        'second service.',
    ),
    table(
      ['change', 'credential', 'how many', 'let in before', 'last let in', 'first refused', 'answer', 'held'],
      changes.map(row => [
        row.change,
        row.credential,
        String(row.credentials),
        `≥ ${row.acceptedBefore}`,
        each(row.after, ({ lastAcceptedMs }) => letInAt(lastAcceptedMs)),
        each(row.after, ({ firstRefusedMs }) => refusedAt(firstRefusedMs)),
        row.answer,
        yes(row.held),
      ]),
    ),
    wrap(
      `A bystander, whom nothing was done to, was let in ${count(bystander.accepted)} times, refused ${bystander.refused} times and ` +
        `failed ${bystander.failed} times all the while (but for the time in which a service was killed or denied everybody, below). ` +
        `After the signing key was revoked, a new sign-in was let in by both services ` +
        `${summary.signInAgainMs === null ? 'never' : `within ${refusedAt(summary.signInAgainMs)} ms`}.`,
    ),
    wrap(
      `**The link to \`login\` damaged**, with \`MAX_STALENESS_SECONDS=${summary.maxStalenessSeconds}\`, and a user disabled meanwhile. ` +
        '“Let in meanwhile” are requests of that user between the acknowledgement and the mending. “Stopped” ' +
        'and “told by /readyz” count from the damage, “last let in” (of that user), “first refused” and “served again” (the ' +
        'bystander) from the mending; where it was never mended (delayed), from the acknowledgement.',
    ),
    table(
      [
        'link',
        'stale mode',
        'let in meanwhile',
        'stopped',
        'told by /readyz',
        'last let in',
        'first refused',
        'served again',
        'held',
      ],
      outages.map(row => [
        row.fault,
        row.staleMode,
        row.acceptedMeanwhile === null ? '' : String(row.acceptedMeanwhile),
        at(row.stoppedMs),
        at(row.toldMs),
        letInAt(row.lastAcceptedMs),
        refusedAt(row.firstRefusedMs),
        at(row.servedAgainMs),
        yes(row.held),
      ]),
    ),
    '**`kill -9`** right after a user was disabled.',
    table(
      ['killed', 'service', 'counted from', 'last let in', 'first refused', 'held'],
      crashes.map(row => [
        row.killed,
        row.service,
        row.since,
        letInAt(row.lastAcceptedMs),
        refusedAt(row.firstRefusedMs),
        yes(row.held),
      ]),
    ),
  ].join('\n\n')
}
