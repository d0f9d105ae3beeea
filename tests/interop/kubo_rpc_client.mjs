// What a program in JavaScript does with an IPFS daemon, by kubo-rpc-client: prints what it got, as JSON, to be compared.
// Use: node kubo_rpc_client.mjs FOLDER-OF-NODE_MODULES URL [TOKEN]
const [modules, url, token] = process.argv.slice(2)
const { create } = await import(`${modules}/node_modules/kubo-rpc-client/dist/src/index.js`)
const { CID } = await import(`${modules}/node_modules/multiformats/dist/src/cid.js`)
const headers = token ? { Authorization: `Bearer ${token}` } : {}
const ipfs = create({ url: `${url}/api/v0`, headers })

const found = {}
const all = async (items) => { const list = []; for await (const item of items) list.push(item); return list }
const bytes = async (pieces) => Buffer.concat(await all(pieces))
const painted = (length) => Uint8Array.from({ length }, (_, at) => (at * at) % 251)
const failed = async (work) => { try { await work() } catch (error) { return error.name }; return 'nothing' }
// Values that are the same on both sides, in a form that is.
const plain = (value) => JSON.parse(JSON.stringify(value, (_, item) => {
  const cid = item && typeof item === 'object' ? CID.asCID(item) : null
  return cid ? String(cid) : typeof item === 'bigint' ? Number(item) : item
}))

const tree = [
  { path: 'tree/a.txt', content: new TextEncoder().encode('hello\n') },
  { path: 'tree/sub/ź & <b>.txt', content: new TextEncoder().encode('sub\n') },
  { path: 'tree/big', content: painted(700000) },
  { path: 'tree/empty' },
]
const added = await all(ipfs.addAll(tree, { pin: false }))
found.added = plain(added).sort((one, other) => (one.path < other.path ? -1 : 1))
const root = added.at(-1).cid
found.v1 = plain(await ipfs.add(painted(300000), { cidVersion: 1, rawLeaves: true, chunker: 'size-100000' }))
found.wrapped = plain(await all(ipfs.addAll([tree[0]], { wrapWithDirectory: true, onlyHash: true })))
let seen = 0
await ipfs.add(painted(700000), { onlyHash: true, progress: (count) => { seen = count } })
found.progress = seen
found.cat = (await bytes(ipfs.cat(`${root}/big`))).equals(Buffer.from(painted(700000)))
found.part = [...await bytes(ipfs.cat(`${root}/big`, { offset: 262140, length: 9 }))]
found.tar = (await bytes(ipfs.get(`${root}/sub`))).includes('sub\n')
found.ls = plain(await all(ipfs.ls(root)))
found.refs = plain(await all(ipfs.refs(root, { recursive: true, unique: true }))).map((ref) => ref.ref).sort()
found.local = (await all(ipfs.refs.local())).length > 4

const block = await ipfs.block.put(new TextEncoder().encode('some block'), { format: 'raw', mhtype: 'sha2-256' })
found.block = String(block)
found.blockStat = plain(await ipfs.block.stat(block))
found.blockGet = Buffer.from(await ipfs.block.get(block)).toString()
found.blockRm = plain(await all(ipfs.block.rm(block)))
found.blockGone = plain(await all(ipfs.block.rm(block))).map((one) => Boolean(one.error))

const object = await ipfs.dag.put({ hello: [1, 2, { there: root }] }, { storeCodec: 'dag-cbor', hashAlg: 'sha2-256' })
found.object = String(object)
found.dagGet = plain((await ipfs.dag.get(object, { path: '/hello/1' })).value)
found.dagLink = String((await ipfs.dag.get(object, { path: '/hello/2/there', localResolve: true })).value)
found.dagResolve = plain(await ipfs.dag.resolve(object, { path: '/hello' }))
const car = await bytes(ipfs.dag.export(root))
found.car = car.length
found.imported = plain(await all(ipfs.dag.import([car], { pinRoots: true })))

found.pinned = plain(await all(ipfs.pin.ls({ paths: [root] })))
found.pinAdd = String(await ipfs.pin.add(object, { recursive: false }))
found.pins = plain(await all(ipfs.pin.ls({ type: 'direct' })))
found.pinRm = String(await ipfs.pin.rm(object, { recursive: false }))
found.notPinned = await failed(() => ipfs.pin.rm(object))
found.resolve = await ipfs.resolve(`/ipfs/${root}/a.txt`)
found.absent = await failed(() => bytes(ipfs.cat('QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG')))
found.noName = await failed(() => bytes(ipfs.cat(`${root}/none`)))
found.directory = await failed(() => bytes(ipfs.cat(root)))
found.version = typeof (await ipfs.version()).version
found.repo = Object.keys(await ipfs.repo.stat()).sort()
found.repoVersion = typeof (await ipfs.repo.version())
found.gc = Array.isArray(await all(ipfs.repo.gc()))
found.keptAfterGc = (await bytes(ipfs.cat(`${root}/a.txt`))).toString()
console.log(JSON.stringify(found, null, 1))
