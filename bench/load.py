"""How a server answers under load: throughput and latency at 1, 16 and 64 clients.

    python3 bench/load.py --tombolo target/release/tombolo --library DIR [--seconds 20] [--clients 1,16,64]

Starts `tombolo serve` on the library, asks as many clients as wanted for the top ten of texts that differ from request to request, each
client on a connection that it keeps, and prints requests a second, the median and the 99th percentile of the latency, and what
failed. Clients run in processes of their own on the same cores as the server. Standard library only.
"""

import argparse
import http.client
import json
import multiprocessing
import subprocess
import time

NOUNS = ["dog", "boy", "girl", "man", "woman", "bicycle", "horse", "car", "ball", "boat"]
PLACES = ["on the beach", "in the snow", "on grass", "in a street", "at night", "in water", "on a mountain", "in a room"]
COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "grey"]


def query(number):
    # Mixed so that neighbouring numbers make different sentences.
    number = number * 2654435761 % 2**32
    return f"a {COLOURS[number % 8]} {NOUNS[number // 8 % 10]} {PLACES[number // 80 % 8]} {number // 640 % 1000}"


def client(address, first, until, out):
    connection = http.client.HTTPConnection(address, timeout=60)
    taken, failed, number = [], 0, first
    while time.time() < until:
        body = json.dumps({"query": query(number), "top": 10})
        started = time.perf_counter()
        try:
            connection.request("POST", "/search", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            hits = json.loads(response.read())
            failed += response.status != 200 or len(hits["hits"]) != 10
        except (OSError, http.client.HTTPException):
            failed += 1
            connection.close()
        taken.append(time.perf_counter() - started)
        number += 1
    out.put((taken, failed))


def measure(address, clients, seconds):
    out, until = multiprocessing.Queue(), time.time() + seconds
    processes = [multiprocessing.Process(target=client, args=(address, 100_000 * n, until, out)) for n in range(clients)]
    for process in processes:
        process.start()
    results = [out.get() for _ in processes]
    for process in processes:
        process.join()
    taken = sorted(t for part, _ in results for t in part)
    return len(taken) / seconds, taken[len(taken) // 2], taken[int(len(taken) * 0.99)], sum(failed for _, failed in results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tombolo", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", default="1,16,64")
    arguments = parser.parse_args()
    command = [arguments.tombolo, "serve", "--library", arguments.library, "--bind", "127.0.0.1:0", "--json", "--quiet"]
    command += ["--model", arguments.model] if arguments.model else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        address = json.loads(server.stdout.readline())["url"].removeprefix("http://")
        while True:
            connection = http.client.HTTPConnection(address)
            connection.request("GET", "/health")
            response = connection.getresponse()
            health = json.loads(response.read())
            if response.status == 200:
                break
            time.sleep(0.2)
        measure(address, 1, 2)
        print(f"{health['photos']:,} photos, model {health['model']}\n")
        print("| clients | requests/s | median | 99th percentile | failed |\n|---|---|---|---|---|")
        for clients in map(int, arguments.clients.split(",")):
            rate, median, tail, failed = measure(address, clients, arguments.seconds)
            print(f"| {clients} | {rate:,.0f} | {1e3 * median:.1f} ms | {1e3 * tail:.1f} ms | {failed} |", flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
