import type { Measurement, Results } from './results.ts'

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
  signIns: [],
  starts: [],
  ...given,
})
