import type { Measurement, MeteringRound, Results, Wait } from './results.ts'

const wait = (p99Milliseconds: number): Wait => ({
  p50Milliseconds: 1,
  p99Milliseconds,
  maxMilliseconds: p99Milliseconds * 2,
})

/** A round in which 99 of 100 callers waited no longer than that, beside a metered key. */
export const meteringRound = (round: number, hotKey: number, jwt: number): MeteringRound => ({
  round,
  seconds: 2,
  perSecond: { hotKey: 2_000, jwt: 1_000, metered: 1_000 },
  answered: 2_000,
  creditsTaken: 2_000,
  busyPercent: 20,
  alone: { hotKey: wait(1), jwt: wait(1) },
  beside: { hotKey: wait(hotKey), jwt: wait(jwt), metered: wait(5) },
})

export const measurement = (name: string, round: number, cpuMicroseconds: number): Measurement => ({
  case: name,
  round,
  requests: 60_000,
  seconds: 3,
  requestsPerSecond: 20_000,
  p50Milliseconds: 1.5,
  p99Milliseconds: 4.25,
  cpuMicroseconds,
  residentMegabytes: 80,
})

/** A run of made-up figures, for what is to be told from real ones. */
export const testResults = (given: Partial<Results> = {}): Results => ({
  startedAt: '2026-01-02T03:04:05.678Z',
  commit: '0123456789',
  isChanged: false,
  machine: {
    cpu: 'A processor',
    cores: 2,
    architecture: 'x64',
    kernel: '6.1',
    memoryMegabytes: 8_000,
    bun: '1.4.5',
  },
  settings: { rounds: 2, seconds: 3, connections: 32, stored: 1_000, rotating: 100, hashConcurrency: 1 },
  baseline: { file: 'baseline.ts', sha256: 'ab12', librarySha256: 'cd34cd34cd34cd34cd34' },
  peers: { peer: '1.0.0' },
  measurements: [
    measurement('without-auth', 1, 40),
    measurement('elysia', 1, 10),
    measurement('hot-key', 1, 50),
    measurement('hot-key', 2, 42),
    measurement('without-auth', 2, 35),
    measurement('elysia', 2, 14),
  ],
  databases: [{ stored: 1_000, megabytes: 1.25 }],
  metering: [],
  signIns: [],
  starts: [],
  ...given,
})
