"""LATENCY HDR against another implementation of HdrHistogram: python hdr.py PORT. Exits non-zero on the first surprise."""

import sys

import redis
from hdrh.histogram import HdrHistogram

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "p99.99": 99.99}
# Two significant digits: a place is at most 1/128 wide.
WIDTH = 1 / 128


def pairs(flat):
    """A map as RESP2 has it: names and values in turn."""
    return dict(zip(flat[::2], flat[1::2]))


def told(client, command):
    return pairs(pairs(client.execute_command("LATENCY", "HDR", command))[command])


def between(what, micros, least, most):
    nanos = float(micros) * 1000
    if not least * (1 - WIDTH) - 1 <= nanos <= most * (1 + WIDTH) + 1:
        sys.exit(f"{what}: told {micros} µs, decoded {least} to {most} ns")


def compare(name, figures):
    decoded = HdrHistogram.decode(figures["hdr"])
    count = int(figures["count"])
    if decoded.get_total_count() != count:
        sys.exit(f"{name}: told {count} values, decoded {decoded.get_total_count()}")
    for figure, percentile in PERCENTILES.items():
        # One rounds a rank up, the other to the nearest: they may be one value apart.
        ends = [min(max(percentile + step * 100 / count, 0), 100) for step in (-1, 1)]
        between(f"{name} {figure}", figures[figure], *map(decoded.get_value_at_percentile, ends))
    for figure, value in ("max", decoded.get_max_value()), ("min", decoded.get_min_value()):
        between(f"{name} {figure}", figures[figure], value, value)
    return decoded


def main():
    client = redis.Redis(port=int(sys.argv[1]), protocol=2, decode_responses=True)
    client.config_resetstat()
    for deep in (1, 10, 500):
        pipe = client.pipeline(transaction=False)
        for number in range(deep):
            pipe.execute_command("INCR", f"hdr:{number}")
        pipe.execute()
    figures = told(client, "incr")
    if int(figures["count"]) != 511:
        sys.exit(f"511 calls, and {figures['count']} are told")
    service = compare("service", figures)
    compare("reply", pairs(figures["reply"]))
    # Histograms of several servers can be merged.
    merged = HdrHistogram(1, 137_438_953_471, 2)
    merged.add(service)
    merged.add(service)
    if merged.get_total_count() != 1022:
        sys.exit(f"two of 511 come to {merged.get_total_count()}")
    print("hdrhistogram: LATENCY HDR reads as it says")


main()
