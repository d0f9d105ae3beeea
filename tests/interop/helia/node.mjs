// A Helia node that takes orders: lines of JSON in, one line of JSON out for each. It knows nobody, and keeps its blocks in memory.
//
//   node.mjs tls|noise     the one security that it speaks

import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify, identifyPush } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

const security = { tls, noise }[process.argv[2]]

const helia = await withBitswap(withLibp2pLight(createHeliaLight(), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [security()],
  streamMuxers: [yamux()],
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping() }
})).start()
const { libp2p } = helia
const files = unixfs(helia)

async function * candidates (path, name) {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const [from, to] = [join(path, entry.name), `${name}/${entry.name}`]
    if (entry.isDirectory()) {
      yield * candidates(from, to)
    } else {
      yield { path: to, content: createReadStream(from) }
    }
  }
}

async function write (cid, target) {
  const about = await files.stat(cid)
  if (about.type === 'directory') {
    await mkdir(target)
    for await (const entry of files.ls(cid)) {
      await write(entry.cid, join(target, entry.name))
    }
    return
  }
  const out = createWriteStream(target)
  for await (const part of files.cat(cid)) {
    if (!out.write(part)) {
      await once(out, 'drain')
    }
  }
  out.end()
  await once(out, 'finish')
}

const orders = {
  async address () {
    return { id: libp2p.peerId.toString(), address: libp2p.getMultiaddrs()[0].toString() }
  },
  async connect ({ address }) {
    const connection = await libp2p.dial(multiaddr(address))
    return { peer: connection.remotePeer.toString() }
  },
  async add ({ path, isFile, options }) {
    const rules = { profile: 'unixfs-v1-2025', ...options }
    let last
    if (isFile) {
      return { cid: (await files.addByteStream(createReadStream(path), rules)).toString() }
    }
    for await (const added of files.addAll(candidates(path, 'root'), rules)) {
      last = added
    }
    return { cid: last.cid.toString() }
  },
  async get ({ cid, target }) {
    await write(CID.parse(cid), target)
    return {}
  },
  async ping ({ address }) {
    return { milliseconds: await libp2p.services.ping.ping(multiaddr(address)) }
  },
  async identified ({ peer }) {
    for (const connection of libp2p.getConnections()) {
      if (connection.remotePeer.toString() === peer) {
        const seen = await libp2p.services.identify.identify(connection)
        return { agent: seen.agentVersion, protocols: seen.protocols, addresses: seen.listenAddrs.map(String) }
      }
    }
    return {}
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { verb, ...what } = JSON.parse(line)
  let answer
  try {
    answer = await orders[verb](what)
  } catch (error) {
    answer = { error: `${verb}: ${error.stack ?? error}` }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
