import { HypertensorState, SUBNET } from './test/support/hypertensor-state.ts'
import { strangerId } from './test/support/keys.ts'
import { StandInChain } from './test/support/stand-in-chain.ts'
import { HypertensorRegistry } from './src/chain/drivers/hypertensor.ts'
import { createLogger } from './src/primitives/log.ts'
import { fork } from 'node:child_process'
if (process.argv[2]==='serve') {
const state = new HypertensorState()
for (let i=0;i<5000;i++) { const {peerId, at}=strangerId(); state.setNode(peerId, at(i)) }
const chain = await StandInChain.start({ state })
process.send(chain.url)
} else {
const c = fork('_p.ts',['serve'], {execArgv: []})
const url = await new Promise(r=>c.on('message', r))
const reg = new HypertensorRegistry({endpoints:[url], subnetId: SUBNET, log: createLogger('error', console.log), options: {}})
await reg.bootnodes()
const {Session} = await import('node:inspector/promises'); const s = new Session(); s.connect()
await s.post('Profiler.enable'); await s.post('Profiler.start')
const t=performance.now(), u=process.cpuUsage()
const l = await reg.list()
const d=process.cpuUsage(u); console.log(l.records.length, performance.now()-t, (d.user+d.system)/1000)
const {profile} = await s.post('Profiler.stop')
const dt = profile.timeDeltas, self = new Map()
const byId = new Map(profile.nodes.map(n=>[n.id,n]))
profile.samples.forEach((id,i)=>self.set(id,(self.get(id)??0)+dt[i]))
// inclusive per function name for a few
const parent = new Map(); for (const n of profile.nodes) for (const ch of n.children??[]) parent.set(ch,n.id)
const incl = new Map(), selfs = new Map()
for (const [id,us] of self) { const n=byId.get(id); const k=n.callFrame.functionName+' '+n.callFrame.url.split('/').slice(-2).join('/'); selfs.set(k,(selfs.get(k)??0)+us); const seen=new Set(); for (let x=id;x!=null;x=parent.get(x)) { const m=byId.get(x); const kk=m.callFrame.functionName+' '+m.callFrame.url.split('/').slice(-2).join('/')+':'+m.callFrame.lineNumber; if(!seen.has(kk)){seen.add(kk); incl.set(kk,(incl.get(kk)??0)+us)} } }
const top=(m,n)=>[...m].sort((a,b)=>b[1]-a[1]).slice(0,n).map(([k,v])=>(v/1000).toFixed(0)+' '+k).join('\n')
console.log(top(incl,45)); console.log('--self'); console.log(top(selfs,15))
c.kill(); process.exit()
}
