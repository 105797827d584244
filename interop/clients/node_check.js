// Calls node-zookeeper-client on a running server and compares what it answers.
// usage: node node_check.js HOST:PORT, from a folder with node_modules/node-zookeeper-client
'use strict';
const zk = require(require.resolve('node-zookeeper-client', { paths: [process.cwd(), __dirname] }));
const hosts = process.argv[2] || '127.0.0.1:2181';
const root = '/node-check-' + process.pid;
let passed = 0, failed = 0;
const p = (o, m, ...a) => new Promise((y, n) => o[m](...a, (e, ...r) => (e ? n(e) : y(r.length > 1 ? r : r[0]))));
const eq = (got, want) => { if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`); };
const fails = async (f, name) => { try { await f(); } catch (e) { return eq(e.name, name); } throw new Error('no error, want ' + name); };
const limit = (pr, ms, what) => Promise.race([pr, new Promise((_, n) => setTimeout(() => n(new Error('timeout: ' + what)), ms).unref())]);
const connect = () => limit(new Promise(y => { const c = zk.createClient(hosts, { sessionTimeout: 6000, retries: 2 }); c.once('connected', () => y(c)); c.connect(); }), 15000, 'connect');
async function check(name, f) {
  const t = Date.now();
  try { await limit(f(), 30000, name); passed++; console.log('ok   ', name.padEnd(40), (Date.now() - t) + ' ms'); }
  catch (e) { failed++; console.log('FAIL ', name.padEnd(40), String(e.stack || e).split('\n')[0]); }
}
(async () => {
  const c = await connect();
  await check('create, exists, getData, setData, remove', async () => {
    eq(await p(c, 'create', root, Buffer.from('v0')), root);
    const [d, st] = await p(c, 'getData', root);
    eq(d.toString(), 'v0'); eq(st.version, 0);
    await p(c, 'setData', root, Buffer.from('v1'), 0);
    await fails(() => p(c, 'setData', root, Buffer.from('x'), 0), 'BAD_VERSION');
    await fails(() => p(c, 'create', root), 'NODE_EXISTS');
    await fails(() => p(c, 'getData', root + '/none'), 'NO_NODE');
    eq(await p(c, 'exists', root + '/none'), null);
  });
  await check('modes: ephemeral, sequential', async () => {
    eq(await p(c, 'create', root + '/s-', null, zk.CreateMode.PERSISTENT_SEQUENTIAL), root + '/s-0000000000');
    eq(await p(c, 'create', root + '/s-', null, zk.CreateMode.EPHEMERAL_SEQUENTIAL), root + '/s-0000000001');
    await p(c, 'create', root + '/e', null, zk.CreateMode.EPHEMERAL);
    await fails(() => p(c, 'create', root + '/e/child'), 'NO_CHILDREN_FOR_EPHEMERALS');
    await fails(() => p(c, 'remove', root, -1), 'NOT_EMPTY');
  });
  await check('getChildren with stat', async () => {
    const [kids, st] = await p(c, 'getChildren', root);
    eq(kids.sort(), ['e', 's-0000000000', 's-0000000001']); eq(st.numChildren, 3);
  });
  await check('data watch, child watch, exists watch', async () => {
    const ev = []; let done; const all = new Promise(y => { done = y; });
    const w = e => { ev.push(e.getName() + ' ' + e.getPath()); if (ev.length === 4) done(); };
    await new Promise((y, n) => c.exists(root + '/w', w, e => (e ? n(e) : y())));
    await p(c, 'create', root + '/w', Buffer.from('1'));
    await new Promise((y, n) => c.getData(root + '/w', w, e => (e ? n(e) : y())));
    await p(c, 'setData', root + '/w', Buffer.from('2'));
    await new Promise((y, n) => c.getChildren(root + '/w', w, e => (e ? n(e) : y())));
    await p(c, 'create', root + '/w/k');
    await p(c, 'remove', root + '/w/k', -1);
    await new Promise((y, n) => c.getData(root + '/w', w, e => (e ? n(e) : y())));
    await p(c, 'remove', root + '/w', -1);
    await all;
    eq(ev, ['NODE_CREATED', 'NODE_DATA_CHANGED', 'NODE_CHILDREN_CHANGED', 'NODE_DELETED'].map(n => `${n} ${root}/w`));
  });
  await check('transaction commits whole or not at all', async () => {
    const r = await p(c.transaction().create(root + '/t', Buffer.from('1')).setData(root + '/t', Buffer.from('2')).check(root + '/t', 1).remove(root + '/t', 1), 'commit');
    eq(r.length, 4);
    await fails(() => p(c.transaction().create(root + '/u').check(root + '/none', 0), 'commit'), 'NO_NODE');
    eq(await p(c, 'exists', root + '/u'), null);
  });
  await check('ACL: digest, world, setACL, NO_AUTH', async () => {
    c.addAuthInfo('digest', Buffer.from('u:p'));
    await p(c, 'create', root + '/a', Buffer.from('x'), zk.ACL.CREATOR_ALL_ACL, zk.CreateMode.PERSISTENT);
    const [acls] = await p(c, 'getACL', root + '/a');
    eq(acls[0].id.scheme, 'digest');
    const d = await connect();
    await fails(() => p(d, 'getData', root + '/a'), 'NO_AUTH');
    await p(c, 'setACL', root + '/a', zk.ACL.OPEN_ACL_UNSAFE, -1);
    await p(d, 'getData', root + '/a');
    d.close();
  });
  await check('1000 pipelined sets answer in order', async () => {
    const got = [];
    await Promise.all([...Array(1000).keys()].map(i => p(c, 'setData', root, Buffer.from('' + i)).then(st => got.push(st.version))));
    eq(got, [...got].sort((a, b) => a - b));
  });
  await check('64-bit session id and zxid survive', async () => {
    const id = c.getSessionId(); eq(id.length, 8); eq(id.equals(Buffer.alloc(8)), false);
    eq((await p(c, 'exists', root)).mzxid.length, 8);
  });
  await check('ephemerals go with the session', async () => {
    const d = await connect();
    await p(d, 'create', root + '/gone', null, zk.CreateMode.EPHEMERAL);
    const w = new Promise(y => c.exists(root + '/gone', e => y(e.getName()), () => {}));
    d.close();
    eq(await limit(w, 15000, 'deleted event'), 'NODE_DELETED');
  });
  await check('mkdirp, remove the tree leaf by leaf', async () => { // removeRecursive of 1.1.3 fails on a Java server too
    await p(c, 'mkdirp', root + '/m/n/o');
    const rm = async path => { for (const k of (await p(c, 'getChildren', path))[0]) await rm(path + '/' + k); await p(c, 'remove', path, -1); };
    await rm(root);
    eq(await p(c, 'exists', root), null);
  });
  c.close();
  console.log(`${passed} passed, ${failed} failed, 0 skipped`);
  process.exit(failed ? 1 : 0);
})().catch(e => { console.log('FAIL ', e); console.log(`${passed} passed, ${failed + 1} failed`); process.exit(1); });
