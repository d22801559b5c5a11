// The ioredis library against a running server: node ioredis.mjs PORT. Exits non-zero on the first surprise.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The library is installed wherever the caller says, not beside this file.
const require = createRequire(`${process.env.IOREDIS_HOME ?? process.cwd()}/`);
const Redis = require("ioredis");

const options = { port: Number(process.argv[2]), connectionName: "ioredis", maxRetriesPerRequest: 1 };

function connect(protocol) {
  const client = new Redis({ ...options, protocol });
  client.on("error", (error) => {
    console.error(`ioredis: ${error.message}`);
    process.exit(1);
  });
  return client;
}

async function counters(client) {
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.incr("n"), 1);
  assert.equal(await client.incrby("n", 41), 42);
  assert.equal(await client.decrby("n", 2), 40);
  assert.equal(await client.incrbyfloat("f", 1.25), "1.25");
  assert.equal(await client.get("n"), "40");
  assert.equal(await client.get("nothing"), null);
  assert.equal(await client.mset("a", 1, "b", "two"), "OK");
  assert.deepEqual(await client.mget("a", "b", "c"), ["1", "two", null]);
  assert.equal(await client.msetnx("a", 1, "z", 1), 0);
  assert.equal(await client.set("a", 5, "NX"), null);
  assert.equal(await client.append("b", "!"), 4);
  assert.equal(await client.getrange("b", 0, 1), "tw");
  assert.deepEqual(await client.getBuffer("b"), Buffer.from("two!"));
  assert.equal(await client.rename("b", "d"), "OK");
  assert.equal(await client.type("d"), "string");
  assert.equal(await client.exists("a", "b", "d"), 2);
  assert.equal(await client.del("a", "b", "d", "f"), 3);
  assert.deepEqual(await client.call("MINCRBY", "n", 1, "m", 5), [41, 5]);
  await client.set("text", "abc");
  await assert.rejects(client.incr("text"), /not an integer/);
}

async function deadlines(client) {
  assert.equal(await client.set("t", 5, "EX", 100), "OK");
  assert.equal(await client.set("t", 6, "KEEPTTL", "GET"), "5");
  assert.ok([99, 100].includes(await client.ttl("t")));
  assert.equal(await client.expire("t", 50, "GT"), 0);
  assert.equal(await client.pexpire("t", 200000), 1);
  const left = await client.pttl("t");
  assert.ok(left > 190000 && left <= 200000);
  assert.equal(await client.expireat("t", 4102444800), 1);
  assert.equal(await client.expiretime("t"), 4102444800);
  assert.equal(await client.getex("t", "PERSIST"), "6");
  assert.equal(await client.ttl("t"), -1);
  assert.equal(await client.ttl("nothing"), -2);
}

async function hashes(client) {
  assert.equal(await client.hset("h", { views: 1, title: "one" }), 2);
  assert.equal(await client.hincrby("h", "views", 4), 5);
  assert.equal(await client.hincrbyfloat("h", "rate", 0.5), "0.5");
  assert.deepEqual(await client.hgetall("h"), { views: "5", title: "one", rate: "0.5" });
  assert.deepEqual(await client.hmget("h", "views", "none"), ["5", null]);
  assert.deepEqual((await client.hkeys("h")).sort(), ["rate", "title", "views"]);
  assert.equal(await client.hlen("h"), 3);
  assert.equal(await client.hexists("h", "none"), 0);
  assert.equal(await client.hdel("h", "rate", "none"), 1);
  assert.deepEqual(await client.hgetall("nothing"), {});
  await assert.rejects(client.get("h"), /WRONGTYPE/);
}

// All that a stream of scans gives.
async function all(stream) {
  const found = [];
  for await (const some of stream) found.push(...some);
  return found;
}

async function scans(client) {
  await client.mset(new Map(Array.from({ length: 500 }, (_, n) => [`key:${n}`, n])));
  const rows = client.pipeline();
  for (let n = 0; n < 20; n += 1) rows.hset(`row:${n}`, "f", n);
  await rows.exec();
  const keys = await all(client.scanStream({ count: 50 }));
  assert.equal(new Set(keys).size, await client.dbsize());
  assert.equal((await all(client.scanStream({ match: "key:1*", count: 100 }))).length, 111);
  const hashes = await all(client.scanStream({ type: "hash" }));
  assert.ok(hashes.length >= 20 && hashes.every((key) => !key.startsWith("key:")));
  assert.equal((await client.keys("row:*")).length, 20);

  await client.hset("wide", Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`field:${n}`, n])));
  const fields = await all(client.hscanStream("wide", { count: 30 }));
  assert.equal(fields.length, 2000);
  assert.equal((await all(client.hscanStream("wide", { match: "field:99*" }))).length, 22);
}

async function pipelines(client) {
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i += 1) pipeline.incr("p");
  const replies = await pipeline.exec();
  assert.deepEqual(replies.map(([error, value]) => error ?? value), Array.from({ length: 1000 }, (_, i) => 1 + i));

  const transaction = await client.multi().incr("p").hset("ph", "f", 1).expire("ph", 100).get("p").exec();
  assert.deepEqual(transaction, [[null, 1001], [null, 1], [null, 1], [null, "1001"]]);
  const failing = await client.multi().set("pt", "text").incr("pt").incr("p").exec();
  assert.deepEqual(failing.map(([error]) => error !== null), [false, true, false]);
  await assert.rejects(client.multi().incr("p").call("NOSUCH").exec(), /EXECABORT/);
  assert.equal(await client.get("p"), "1002", "nothing of it was executed");
}

// Somebody comes between WATCH and EXEC, once.
async function watched(client, other) {
  await client.set("w", 10);
  let tries = 0;
  let replies = null;
  while (replies === null) {
    await client.watch("w");
    const value = Number(await client.get("w"));
    tries += 1;
    if (tries === 1) await other.incr("w");
    replies = await client.multi().set("w", value * 2).exec();
  }
  assert.deepEqual([tries, replies, await client.get("w")], [2, [[null, "OK"]], "22"]);
}

async function server(client, protocol) {
  assert.equal(await client.client("GETNAME"), "ioredis");
  assert.equal(await client.client("SETINFO", "LIB-NAME", "own"), "OK");
  assert.deepEqual(await client.config("GET", "appendfsync"), ["appendfsync", "everysec"]);
  assert.ok((await client.info()).includes("redis_version:7"));
  assert.ok((await client.command("COUNT")) >= 40);
  assert.equal((await client.command("INFO", "get"))[0][1], 2);
  // Which version is spoken is what HELLO says.
  const hello = await client.call("HELLO");
  const flat = Array.isArray(hello) ? hello : Object.entries(hello).flat();
  assert.equal(flat[flat.indexOf("proto") + 1], protocol);
}

async function session(protocol) {
  const [client, other] = [connect(protocol), connect(protocol)];
  await client.flushall();
  await counters(client);
  await deadlines(client);
  await hashes(client);
  await scans(client);
  await pipelines(client);
  await watched(client, other);
  await server(client, protocol);
  assert.equal(await client.quit(), "OK");
  assert.equal(await other.quit(), "OK");
}

await session(2);
await session(3);
console.log("ioredis: RESP2 and RESP3 sessions passed");
