// The ioredis library against a running server: node ioredis.mjs PORT. Exits non-zero on the first surprise.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The library is installed wherever the caller says, not beside this file.
const require = createRequire(`${process.env.IOREDIS_HOME ?? process.cwd()}/`);
const Redis = require("ioredis");

const options = { port: Number(process.argv[2]), connectionName: "ioredis", maxRetriesPerRequest: 1 };

async function session(protocol) {
  const client = new Redis({ ...options, protocol });
  client.on("error", (error) => {
    console.error(`ioredis: ${error.message}`);
    process.exit(1);
  });

  await client.flushall();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.incr("n"), 1);
  assert.equal(await client.incrby("n", 41), 42);
  assert.equal(await client.decrby("n", 2), 40);
  assert.equal(await client.get("n"), "40");
  assert.equal(await client.get("nothing"), null);
  assert.equal(await client.mset("a", 1, "b", "two"), "OK");
  assert.deepEqual(await client.mget("a", "b", "c"), ["1", "two", null]);
  assert.equal(await client.set("a", 5, "NX"), null);
  assert.equal(await client.set("a", 5, "EX", 100, "GET"), "1");
  assert.ok([99, 100].includes(await client.ttl("a")));
  assert.equal(await client.persist("a"), 1);
  assert.equal(await client.exists("a", "b", "c"), 2);
  assert.equal(await client.del("a", "b", "c"), 2);

  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i += 1) pipeline.incr("n");
  const replies = await pipeline.exec();
  assert.deepEqual(replies.map(([error, value]) => error ?? value), Array.from({ length: 1000 }, (_, i) => 41 + i));
  assert.deepEqual(await client.call("MINCRBY", "n", 1, "m", 5), [1041, 5]);

  await client.set("text", "abc");
  await assert.rejects(client.incr("text"), /not an integer/);
  assert.equal(await client.client("GETNAME"), "ioredis");
  assert.equal(await client.client("SETINFO", "LIB-NAME", "own"), "OK");
  assert.deepEqual(await client.config("GET", "appendonly"), ["appendonly", "no"]);
  assert.ok((await client.info()).includes("redis_version:7"));
  assert.ok((await client.command("COUNT")) >= 40);
  assert.equal((await client.command("INFO", "get"))[0][1], 2);

  assert.equal(await client.quit(), "OK");
}

await session(2);
await session(3);
console.log("ioredis: RESP2 and RESP3 sessions passed");
