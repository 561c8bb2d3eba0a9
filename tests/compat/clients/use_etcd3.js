// The npm client etcd3, each of its features once, as a program of its own.
//
//     NODE_PATH=DIR/node_modules node use_etcd3.js HOST:PORT,HOST:PORT,... SPARE_PEER_URL
//
// One line of JSON for each feature: its name and what the library answered, without ids, terms and
// times; revisions are told as distances from the first.
'use strict';
const { Etcd3 } = require('etcd3');

const hosts = process.argv[2].split(',');
const spare = process.argv[3];
const say = (feature, answer) => console.log(JSON.stringify([feature, answer]));
const refused = async (promise) => {
  try {
    await promise;
    return 'not refused';
  } catch (error) {
    return [error.constructor.name, error.message.replace(/Lease [0-9]{6,}/, 'Lease ID')];
  }
};
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, (...all) => resolve(all)));

async function keys(client) {
  const first = (await client.put('a').value('1')).header.revision;
  say('put', (await client.put('b').value(2)).header.revision - first);
  say('put previous', (await client.put('b').value('3').getPrevious()).value.toString());
  await client.put('j').value(JSON.stringify({ x: 1 }));
  say('get', await client.get('b'));
  say('get missing', await client.get('none'));
  say('get number', await client.get('b').number());
  say('get json', await client.get('j').json());
  say('get buffer', (await client.get('b').buffer()).toString('hex'));
  say('exists', [await client.get('b').exists(), await client.get('none').exists()]);
  say('get serializable', await client.get('b').serializable(true));
  say('get revision', await client.get('b').revision(Number(first) + 1));
  for (const name of ['1', '2', '3']) await client.put('p/' + name).value('v' + name);
  say('prefix', await client.getAll().prefix('p/').strings());
  say('keys', await client.getAll().prefix('p/').sort('Key', 'Descend').keys());
  say('limit', await client.getAll().prefix('p/').limit(2).keys());
  say('count', await client.getAll().prefix('p/').count());
  say('range', await client.getAll().inRange({ start: 'p/1', end: 'p/3' }).strings());
  say('all', (await client.getAll().keys()).length);
  say('min revision', await client.getAll().minCreateRevision(Number(first) + 2).prefix('p/').keys());
  say('touch', (await client.put('b').touch()).header.revision - first);
  say('ignoreLease', (await client.put('b').value('4').ignoreLease().getPrevious()).value.toString());
  say('delete previous', (await client.delete().key('a').getPrevious()).map((kv) => kv.key.toString()));
  say('delete range', (await client.delete().inRange({ start: 'p/1', end: 'p/2' })).deleted);
  say('delete prefix', (await client.delete().prefix('p/')).deleted);
  say('compacted', await refused(client.kv.compact({ revision: Number(first) + 1e6 })));
  say('put without lease', await refused(client.put('x').value('1').lease('77').exec()));
}

async function transactions(client) {
  await client.put('t').value('5');
  const done = await client
    .if('t', 'Value', '==', '5')
    .and('t', 'Version', '>', 0)
    .and('t', 'Create', '!=', 0)
    .then(client.put('t').value('6'), client.get('t'))
    .else(client.delete().key('t'))
    .commit();
  say('if then', [done.succeeded, done.responses.map((each) => each.response)]);
  const not = await client.if('t', 'Mod', '<', 1).then(client.put('t').value('7')).else(client.get('t')).commit();
  say('if else', [not.succeeded, not.responses[0].response_range.kvs[0].value.toString()]);
  await client.put('from').value('10');
  await client.put('to').value('1');
  // Repeatable reads: the default also wants keys that are written to be no younger than any read.
  await client.stm({ isolation: 2 }).transact(async (tx) => {
    const amount = await tx.get('from').number();
    const other = await tx.get('to').number();
    await tx.put('from').value(amount - 3);
    await tx.put('to').value(other + 3);
  });
  say('stm', [await client.get('from'), await client.get('to')]);
  let tries = 0;
  await client.stm({ retries: 2, isolation: 2 }).transact(async (tx) => {
    tries += 1;
    const seen = await tx.get('to').number();
    if (tries === 1) await client.put('to').value(100);
    await tx.put('to').value(seen + 1);
  });
  say('stm conflict', [tries, await client.get('to')]);
  const space = client.namespace('ns/');
  await space.put('k').value('v');
  say('namespace', [await space.get('k'), await client.get('ns/k'), await space.getAll().keys()]);
}

async function watches(client) {
  const start = (await client.put('w/0').value('0')).header.revision;
  const watcher = await client.watch().prefix('w/').startRevision(start).withPreviousKV().create();
  const told = [];
  const all = new Promise((resolve) => {
    watcher.on('put', (kv, old) => told.push(['put', kv.key.toString(), kv.value.toString(), old && old.value.toString()]));
    watcher.on('delete', (kv, old) => {
      told.push(['delete', kv.key.toString(), old.value.toString()]);
      resolve();
    });
  });
  await client.put('w/1').value('1');
  await client.put('w/1').value('2');
  await client.delete().key('w/1');
  await all;
  await watcher.cancel();
  say('watch prefix', told);
  const only = await client.watch().key('w/2').only('delete').create();
  const gone = next(only, 'delete');
  await client.put('w/2').value('1');
  await client.delete().key('w/2');
  say('watch only', (await gone)[0].key.toString());
  const within = await client.watch().inRange({ start: 'w/2', end: 'w/4' }).create();
  const put = next(within, 'put');
  await client.delete().key('w/0');
  await client.put('w/3').value('3');
  say('watch range', (await put)[0].key.toString());
  await Promise.all([only.cancel(), within.cancel()]);
}

async function leases(client) {
  const lease = client.lease(60);
  await lease.put('l/1').value('1');
  say('lease put', await client.get('l/1'));
  say('keepaliveOnce', (await lease.keepaliveOnce()).TTL);
  await lease.revoke();
  say('lease revoke', [await client.get('l/1'), lease.revoked()]);
  const lost = client.lease(60, { autoKeepAlive: false });
  const id = await lost.grant();
  say('leaseTimeToLive', (await client.leaseClient.leaseTimeToLive({ ID: id })).grantedTTL);
  say('leaseLeases', (await client.leaseClient.leaseLeases({})).leases.some((each) => each.ID === id));
  await client.leaseClient.leaseRevoke({ ID: id });
  say('keepaliveOnce gone', await refused(lost.keepaliveOnce()));
  const lock = client.lock('house').ttl(30);
  await lock.acquire();
  say('lock taken', (await refused(client.lock('house').acquire()))[0]);
  await lock.release();
  say('lock do', await client.lock('house').do(() => 'done'));
}

async function elections(client) {
  const election = client.election('office', 30);
  const first = election.campaign('anna');
  await first.wait();
  say('campaign', await election.leader());
  const observer = await election.observe();
  say('observe', observer.leader());
  const second = election.campaign('bert');
  await second.getCampaignKey();
  let change = next(observer, 'change');
  await first.proclaim('anna the second');
  say('proclaim', await change);
  change = next(observer, 'change');
  await first.resign();
  await second.wait();
  say('resign', await change);
  await observer.cancel();
  await second.resign();
  say('nobody', (await election.leader()) === undefined);
}

async function administration(client) {
  const status = await client.maintenance.status();
  say('status', [Number(status.dbSize) > 0, Number(status.leader) !== 0]);
  say('hash', typeof (await client.maintenance.hash()).hash);
  await client.maintenance.defragment({});
  say('defragment', 'done');
  say('alarms', (await client.maintenance.alarm({ action: 'Get' })).alarms);
  const snapshot = await client.maintenance.snapshot();
  let bytes = 0;
  await new Promise((resolve, reject) => {
    snapshot.on('data', (part) => (bytes += part.blob.length));
    snapshot.on('end', resolve);
    snapshot.on('error', reject);
  });
  say('snapshot', bytes % 512);
  say('members', (await client.cluster.memberList({})).members.map((each) => each.name).sort());
  let added;
  for (let turn = 0; turn < 60 && !added; turn += 1) {
    // A new cluster refuses new members until all are connected for five seconds.
    added = await client.cluster.memberAdd({ peerURLs: [spare] }).catch(() => new Promise((go) => setTimeout(go, 500)));
  }
  say('memberAdd', added.member.peerURLs[0] === spare);
  await client.cluster.memberRemove({ ID: added.member.ID });
  say('memberRemove', (await client.cluster.memberList({})).members.length);
}

async function users(client) {
  const role = client.role('reader');
  await role.create();
  await role.grant({ permission: 'Read', range: client.range({ prefix: 'r/' }) });
  await role.grant({ permission: 'Readwrite', key: 'own' });
  say('permissions', (await role.permissions()).map((each) => [each.permission, each.range.start.toString()]));
  await role.revoke({ permission: 'Readwrite', key: 'own' });
  const user = client.user('carla');
  await user.create('secret');
  await user.addRole(role);
  say('roles of a user', (await user.roles()).map((each) => each.name));
  const root = client.user('root');
  await root.create('toor');
  await (await client.role('root').create()).addUser(root);
  say('users', (await client.getUsers()).map((each) => each.name));
  say('roles', (await client.getRoles()).map((each) => each.name));
  await client.put('r/1').value('1');
  await client.auth.authEnable();
  const carla = new Etcd3({ hosts, auth: { username: 'carla', password: 'secret' } });
  say('get as carla', await carla.get('r/1'));
  say('put as carla', await refused(carla.put('r/1').value('2').exec()));
  say('get elsewhere', await refused(carla.get('a').exec()));
  carla.close();
  const wrong = new Etcd3({ hosts, auth: { username: 'carla', password: 'wrong' } });
  say('wrong password', await refused(wrong.get('r/1').exec()));
  wrong.close();
  say('without a user', await refused(client.get('r/1').exec()));
  const boss = new Etcd3({ hosts, auth: { username: 'root', password: 'toor' } });
  await boss.user('carla').setPassword('other');
  await boss.user('carla').removeRole('reader');
  await boss.auth.authDisable();
  boss.close();
  await client.user('carla').delete();
  await client.role('reader').delete();
  say('users after', (await client.getUsers()).map((each) => each.name));
}

async function main() {
  const client = new Etcd3({ hosts });
  await keys(client);
  await transactions(client);
  await watches(client);
  await leases(client);
  await elections(client);
  // One host: another may be behind with the list of members.
  const one = new Etcd3({ hosts: hosts[0] });
  await administration(one);
  one.close();
  await users(client);
  client.close();
}

main().then(
  // The library's timers may outlive its clients: what was to be said has been said.
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
