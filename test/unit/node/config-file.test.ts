import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { setInConfig, unsetInConfig } from '../../../src/node/home/changed-config.ts'
import type { Settings } from '../../../src/node/home/config.ts'
import { readConfigFile, updateConfigFile } from '../../../src/node/home/config-file.ts'
import { homeAt } from '../../../src/node/home/home.ts'
import { TempFolders } from '../../support/temp.ts'

describe('config.json', () => {
  const folders = new TempFolders()

  after(async () => folders.clean())

  it('keeps all of many changes at once', async () => {
    const home = homeAt(await folders.make())
    await setInConfig(home, 'mdns', 'true', undefined)
    await Promise.all([
      setInConfig(home, 'subnetId', '7', undefined),
      setInConfig(home, 'taskTimeout', '5s', undefined),
      updateConfigFile(home, { handler: 'echo' } as Settings, ['handler']),
      unsetInConfig(home, 'mdns', undefined),
    ])
    assert.deepEqual(await readConfigFile(home.configFile), { subnetId: 7, taskTimeout: '5s', handler: 'echo' })
    assert.deepEqual(await readdir(home.path), ['config.json'])
  })
})
