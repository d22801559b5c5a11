"""The redis-py library against a running server: python redis_py.py PORT. Exits non-zero on the first surprise."""

import sys

import redis


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")


def session(port, protocol):
    client = redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="redis-py")
    client.flushall()
    check("PING", client.ping(), True)
    check("INCR", client.incr("n"), 1)
    check("INCRBY", client.incr("n", 41), 42)
    check("DECRBY", client.decr("n", 2), 40)
    check("GET", client.get("n"), "40")
    check("GET of nothing", client.get("nothing"), None)
    check("MSET", client.mset({"a": 1, "b": "two"}), True)
    check("MGET", client.mget("a", "b", "c"), ["1", "two", None])
    check("SET NX", client.set("a", 5, nx=True), None)
    check("SET GET EX", client.set("a", 5, ex=100, get=True), "1")
    check("TTL", client.ttl("a") in (99, 100), True)
    check("EXPIRE GT", client.expire("a", 50, gt=True), False)
    check("PERSIST", client.persist("a"), True)
    check("TYPE", client.type("a"), "string")
    check("EXISTS", client.exists("a", "b", "c"), 2)
    check("DEL", client.delete("a", "b", "c"), 2)
    check("DBSIZE", client.dbsize(), 1)

    pipeline = client.pipeline(transaction=False)
    for _ in range(1000):
        pipeline.incr("n")
    check("pipeline of 1000", pipeline.execute(), list(range(41, 1041)))
    check("MINCRBY", client.execute_command("MINCRBY", "n", 1, "m", 5), [1041, 5])

    try:
        client.set("text", "abc")
        client.incr("text")
        sys.exit("INCR of text was not refused")
    except redis.ResponseError as error:
        check("error", str(error), "value is not an integer or out of range")

    check("CLIENT GETNAME", client.client_getname(), "redis-py")
    check("CLIENT SETINFO", client.client_setinfo("LIB-NAME", "own"), True)
    check("CLIENT LIST", [one["name"] for one in client.client_list()].count("redis-py") >= 1, True)
    check("CONFIG GET", client.config_get("appendonly"), {"appendonly": "no"})
    check("INFO", client.info("server")["redis_version"][0], "7")
    check("COMMAND COUNT", client.command_count() >= 40, True)
    check("COMMAND", client.command()["get"]["arity"], 2)
    check("TIME", client.time()[0] > 1_600_000_000, True)
    client.close()


for protocol in (2, 3):
    session(int(sys.argv[1]), protocol)
print(f"redis-py {redis.__version__}: RESP2 and RESP3 sessions passed")
