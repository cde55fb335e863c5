// A template node runs in the virtualenv of the Python peers.
import { makeOrSay } from './cannot-run.ts'
import { makePython } from './python-environment.ts'

await makeOrSay(makePython)
