"""The redis-py library against a running server: python redis_py.py PORT [CA]. Exits non-zero on the first surprise.

With a certificate of an authority, over TLS.
"""

import sys

import redis


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")


def refused(what, run, text):
    """Runs what has to be refused with this text."""
    try:
        got = run()
    except redis.ResponseError as error:
        check(f"error of {what}", str(error), text)
    else:
        sys.exit(f"{what} was not refused: got {got!r}")


def counters(client):
    check("PING", client.ping(), True)
    check("INCR", client.incr("n"), 1)
    check("INCRBY", client.incr("n", 41), 42)
    check("DECRBY", client.decr("n", 2), 40)
    check("INCRBYFLOAT", client.incrbyfloat("f", 1.25), 1.25)
    check("GET", client.get("n"), "40")
    check("GET of nothing", client.get("nothing"), None)
    check("MSET", client.mset({"a": 1, "b": "two"}), True)
    check("MSETNX", client.msetnx({"a": 1, "z": 1}), False)
    check("MGET", client.mget("a", "b", "c"), ["1", "two", None])
    check("SET NX", client.set("a", 5, nx=True), None)
    check("APPEND", client.append("b", "!"), 4)
    check("STRLEN", client.strlen("b"), 4)
    check("GETRANGE", client.getrange("b", 1, -2), "wo")
    check("SETRANGE", client.setrange("b", 0, "T"), 4)
    check("GETDEL", client.getdel("b"), "Two!")
    check("TYPE", client.type("a"), "string")
    check("EXISTS", client.exists("a", "b", "c"), 1)
    check("RENAME", client.rename("a", "c"), True)
    check("COPY", client.copy("c", "d"), True)
    check("DEL", client.delete("c", "d", "f"), 3)
    check("DBSIZE", client.dbsize(), 1)
    check("MINCRBY", client.execute_command("MINCRBY", "n", 1, "m", 5), [41, 5])
    client.set("text", "abc")
    refused("INCR of text", lambda: client.incr("text"), "value is not an integer or out of range")


def deadlines(client):
    check("SET EX", client.set("t", 5, ex=100), True)
    check("SET GET", client.set("t", 6, get=True, keepttl=True), "5")
    check("TTL", client.ttl("t") in (99, 100), True)
    check("PTTL", 98_000 < client.pttl("t") <= 100_000, True)
    check("EXPIRE GT", client.expire("t", 50, gt=True), False)
    check("PEXPIRE", client.pexpire("t", 200_000), True)
    check("EXPIREAT", client.expireat("t", 4_102_444_800), True)
    check("EXPIRETIME", client.expiretime("t"), 4_102_444_800)
    check("PEXPIRETIME", client.pexpiretime("t"), 4_102_444_800_000)
    check("GETEX", client.getex("t", px=50_000), "6")
    check("PERSIST", client.persist("t"), True)
    check("TTL without a deadline", client.ttl("t"), -1)
    check("SET PX", client.set("t", 1, px=50_000), True)
    check("TTL of nothing", client.ttl("nothing"), -2)


def hashes(client):
    check("HSET", client.hset("h", mapping={"views": 1, "title": "one"}), 2)
    check("HSETNX", client.hsetnx("h", "title", "two"), 0)
    check("HINCRBY", client.hincrby("h", "views", 4), 5)
    check("HINCRBYFLOAT", client.hincrbyfloat("h", "rate", 0.5), 0.5)
    check("HGETALL", client.hgetall("h"), {"views": "5", "title": "one", "rate": "0.5"})
    check("HMGET", client.hmget("h", ["views", "none"]), ["5", None])
    check("HKEYS", sorted(client.hkeys("h")), ["rate", "title", "views"])
    check("HVALS", sorted(client.hvals("h")), ["0.5", "5", "one"])
    check("HLEN", client.hlen("h"), 3)
    check("HEXISTS", client.hexists("h", "none"), False)
    check("HSTRLEN", client.hstrlen("h", "title"), 3)
    check("HRANDFIELD", dict_of(client.hrandfield("h", 3, withvalues=True)), client.hgetall("h"))
    check("HDEL", client.hdel("h", "rate", "none"), 1)
    check("HGETALL of nothing", client.hgetall("nothing"), {})
    refused("GET of a hash", lambda: client.get("h"), "WRONGTYPE Operation against a key holding the wrong kind of value")


def dict_of(pairs):
    """Pairs, which the versions of the protocol have flat or nested."""
    flat = [word for pair in pairs for word in pair] if pairs and isinstance(pairs[0], list) else pairs
    return dict(zip(flat[::2], flat[1::2]))


def scans(client):
    client.mset({f"key:{n}": n for n in range(500)})
    for n in range(20):
        client.hset(f"row:{n}", "f", n)
    check("scan_iter", set(client.scan_iter(count=50)) >= {f"key:{n}" for n in range(500)}, True)
    check("MATCH", len(list(client.scan_iter(match="key:1*", count=100))), 111)
    check("TYPE", set(client.scan_iter(_type="hash")) >= {f"row:{n}" for n in range(20)}, True)
    check("KEYS", len(client.keys("row:*")), 20)
    client.hset("wide", mapping={f"field:{n}": n for n in range(1000)})
    check("hscan_iter", dict(client.hscan_iter("wide", count=30)), {f"field:{n}": str(n) for n in range(1000)})
    matching = {f"field:{n}": str(n) for n in [99, *range(990, 1000)]}
    check("hscan_iter MATCH", dict(client.hscan_iter("wide", match="field:99*")), matching)


def pipelines(client):
    pipeline = client.pipeline(transaction=False)
    for _ in range(1000):
        pipeline.incr("p")
    check("pipeline of 1000", pipeline.execute(), list(range(1, 1001)))

    with client.pipeline() as pipeline:
        pipeline.incr("p").hset("ph", "f", 1).expire("ph", 100).get("p")
        check("transaction", pipeline.execute(), [1001, 1, True, "1001"])
    with client.pipeline() as pipeline:
        pipeline.set("pt", "text").incr("pt").incr("p")
        replies = pipeline.execute(raise_on_error=False)
        check("error in a transaction", [isinstance(reply, redis.ResponseError) for reply in replies], [False, True, False])
    with client.pipeline() as pipeline:
        pipeline.incr("p").execute_command("NOSUCH")
        try:
            pipeline.execute()
            sys.exit("a transaction with an unknown command was executed")
        except redis.ResponseError:
            check("nothing of it was executed", client.get("p"), "1002")


def watched(client, other):
    """Somebody comes between WATCH and EXEC, once."""
    client.set("w", 10)
    tries = 0
    with client.pipeline() as pipeline:
        while True:
            try:
                pipeline.watch("w")
                value = int(pipeline.get("w"))
                tries += 1
                if tries == 1:
                    other.incr("w")
                pipeline.multi()
                pipeline.set("w", value * 2)
                pipeline.execute()
                break
            except redis.WatchError:
                continue
    check("retries after a WatchError", (tries, client.get("w")), (2, "22"))

    def double(pipeline):
        value = int(pipeline.get("w"))
        pipeline.multi()
        pipeline.set("w", value * 2)

    check("transaction()", client.transaction(double, "w"), [True])
    check("its sum", client.get("w"), "44")


def server(client, protocol):
    check("CLIENT GETNAME", client.client_getname(), "redis-py")
    check("CLIENT SETINFO", client.client_setinfo("LIB-NAME", "own"), True)
    check("CLIENT LIST", [one["name"] for one in client.client_list()].count("redis-py") >= 1, True)
    check("CONFIG GET", client.config_get("appendfsync"), {"appendfsync": "everysec"})
    check("INFO", client.info("server")["redis_version"][0], "7")
    check("COMMAND COUNT", client.command_count() >= 40, True)
    check("COMMAND", client.command()["get"]["arity"], 2)
    check("TIME", client.time()[0] > 1_600_000_000, True)
    check("MEMORY USAGE", client.memory_usage("n") > 0, True)
    check("MEMORY STATS", client.memory_stats()["keys.count"], client.dbsize())
    check("LASTSAVE", client.lastsave().year > 2020, True)
    if protocol == 3:
        raw = client.execute_command("MEMORY STATS")
        check("a double", isinstance(raw["peak.percentage"], float), True)
        check("a map", client.execute_command("CONFIG", "GET", "databases"), {"databases": "1"})


def session(port, protocol, tls):
    options = {"port": port, "protocol": protocol, "decode_responses": True, "client_name": "redis-py", **tls}
    client, other = redis.Redis(**options), redis.Redis(**options)
    client.flushall()
    counters(client)
    deadlines(client)
    hashes(client)
    scans(client)
    pipelines(client)
    watched(client, other)
    server(client, protocol)
    client.close()
    other.close()


encryption = {"ssl": True, "ssl_ca_certs": sys.argv[2]} if len(sys.argv) > 2 else {}
for protocol in (2, 3):
    session(int(sys.argv[1]), protocol, encryption)
print(f"redis-py {redis.__version__}: RESP2 and RESP3 sessions passed{' over TLS' if encryption else ''}")
