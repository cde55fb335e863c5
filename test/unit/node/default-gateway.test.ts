import assert from 'node:assert/strict'
import type { NetworkInterfaceInfo } from 'node:os'
import { linuxGateways, listedGateways, placeOf } from '../../../src/node/port-mapping/default-gateway.ts'

const LINUX = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0102A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth1	00000000	00000000	0001	0	0	0	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
`
const MACOS = `Routing tables

Internet:
Destination        Gateway            Flags               Netif Expire
default            192.168.1.1        UGScg                 en0
default            link#17            UCSIg           bridge100      !
127                127.0.0.1          UCS                   lo0

Internet6:
default                                 fe80::%utun0                            UGcIg               utun0
`
const WINDOWS = `IPv4 Route Table
===========================================================================
Active Routes:
Network Destination        Netmask          Gateway       Interface  Metric
          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.20     25
        127.0.0.0        255.0.0.0         On-link         127.0.0.1    331
`

function at(cidr: string, internal = false): NetworkInterfaceInfo {
  const address = cidr.replace(/\/.*/, '')
  return { address, cidr, family: 'IPv4', netmask: '', mac: '', internal }
}

describe('the router of this machine', () => {
  it('is the default gateway with the smallest metric on Linux', () => {
    assert.deepEqual(linuxGateways(LINUX), ['192.168.1.1', '192.168.2.1'])
    assert.deepEqual(linuxGateways(''), [])
  })

  it('is the default gateway that netstat lists elsewhere', () => {
    assert.deepEqual(listedGateways(MACOS), ['192.168.1.1'])
    assert.deepEqual(listedGateways(WINDOWS), ['192.168.1.1'])
  })

  it('is in a network of this machine, whose address there is the one that is mapped', () => {
    const interfaces = { lo: [at('127.0.0.1/8', true)], docker: [at('172.17.0.1/16')], eth0: [at('192.168.1.20/24')] }
    assert.deepEqual(placeOf(['10.0.0.1', '192.168.1.1'], interfaces), { router: '192.168.1.1', localAddress: '192.168.1.20' })
  })

  it('is not asked where it is public, or the machine has no address beside it', () => {
    assert.equal(placeOf(['45.79.0.1'], { eth0: [at('45.79.0.2/24')] }), undefined)
    assert.equal(placeOf(['192.168.1.1'], { eth0: [at('192.168.2.20/24')] }), undefined)
    assert.equal(placeOf(['127.0.0.1'], { lo: [at('127.0.0.1/8', true)] }), undefined)
    assert.equal(placeOf([], { eth0: [at('192.168.1.20/24')] }), undefined)
  })
})
